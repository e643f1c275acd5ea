"""Which processor each library is given: the settings' device, as torch, ONNX Runtime and
CTranslate2 call it."""

import logging
from functools import lru_cache

from foveal.config.schema import Config
from perception.device import Device, resolve_device

CPU_PROVIDER = "CPUExecutionProvider"
PROVIDERS = {"cuda": "CUDAExecutionProvider", "mps": "CoreMLExecutionProvider"}

logger = logging.getLogger(__name__)


def device_of(config: Config) -> Device:
    """The settings' device; raises as `resolve_device` does."""
    return resolve_device(config.models.device, config.models.precision)


def onnx_providers(device: Device) -> tuple[str, ...]:
    """What ONNX Runtime tries in turn; the CPU alone, with one hint a process, where it must."""
    import onnxruntime  # type: ignore[import-untyped]

    wanted = PROVIDERS.get(device.name)
    if wanted is None:
        return (CPU_PROVIDER,)
    if wanted in onnxruntime.get_available_providers():
        return (wanted, CPU_PROVIDER)
    _hint(
        f"the text encoder and the reading of words stay on the CPU: the installed onnxruntime "
        f"lacks {wanted}{_mend(device)}"
    )
    return (CPU_PROVIDER,)


def whisper_device(device: Device) -> str:
    """cuda or cpu, as CTranslate2 has it; it knows no other, and CUDA only where it finds one."""
    if device.name != "cuda":
        return "cpu"
    import ctranslate2

    if ctranslate2.get_cuda_device_count() > 0:
        return "cuda"
    _hint("whisper stays on the CPU: ctranslate2 finds no CUDA device")
    return "cpu"


def _mend(device: Device) -> str:
    return "; `pip install onnxruntime-gpu` in its place" if device.name == "cuda" else ""


@lru_cache(maxsize=8)
def _hint(text: str) -> None:
    """Say something once."""
    logger.warning("%s", text)
