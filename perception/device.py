"""Where networks run and in what they multiply: one answer for all of them."""

from dataclasses import dataclass

import torch

from perception.torch_compat import multiplies_bfloat16
from stream.errors import ConfigError, MissingDeviceError

PRECISIONS = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


@dataclass(frozen=True, slots=True)
class Device:
    """A processor that networks are put on."""

    name: str  # cpu, cuda or mps, as torch calls it
    dtype: torch.dtype  # of the networks that bear half precision (docs/install.md); not of others


CPU = Device("cpu", torch.bfloat16 if multiplies_bfloat16() else torch.float32)


def resolve_device(name: str = "auto", precision: str = "auto") -> Device:
    """A device by the names of the settings, if this machine has it.

    `auto` is CUDA where there is one, else the CPU; its precision is bfloat16 where the processor
    multiplies that, else float32. Apple's mps is taken only by name. Raises MissingDeviceError for
    a processor that is not here, ConfigError for names or pairs that do not exist.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if name not in there:
        raise ConfigError(f"expected a device of auto, {', '.join(there)}; got {name!r}")
    if not there[name]:
        raise MissingDeviceError(_absent(name))
    return Device(name, _dtype(name, precision))


def _dtype(name: str, precision: str) -> torch.dtype:
    if precision == "auto":
        fast = {"cpu": multiplies_bfloat16, "cuda": torch.cuda.is_bf16_supported}
        return torch.bfloat16 if name in fast and fast[name]() else torch.float32
    if precision not in PRECISIONS:
        known = ", ".join(PRECISIONS)
        raise ConfigError(f"expected a precision of auto, {known}; got {precision!r}")
    if precision == "float16" and name == "cpu":
        raise ConfigError("expected float32 or bfloat16 on a CPU, got float16, which it emulates")
    return PRECISIONS[precision]


def _absent(name: str) -> str:
    if name == "mps":
        return "expected an Apple GPU for the device mps, this machine has none; use auto or cpu"
    built = torch.version.cuda
    why = f"torch {torch.__version__} finds none" if built else "torch is built without CUDA"
    return f"expected a GPU for the device cuda, but {why}; use auto or cpu (`foveal doctor`)"
