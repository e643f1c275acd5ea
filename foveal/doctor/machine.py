"""What this machine has: facts, each read on its own, so that one that fails hides no other."""

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from foveal.assets.registry import ASSETS, cache_root

GB = 1_000_000_000
CODECS = ("h264", "hevc", "vp8", "vp9", "av1", "mjpeg", "opus", "aac")
PACKAGES = {  # by what they are for: distribution and how it comes
    "hearing: words": ("faster-whisper", "pip install 'foveal[speech]'"),
    "hearing: where somebody speaks": ("silero-vad", "pip install 'foveal[speech]'"),
    "Aria's .vrs": ("vrs", "pip install 'foveal[aria]'"),
    "decord's reader": ("decord", "pip install decord (Linux and Windows on x86-64)"),
    "models in 8 or 4 bits": ("bitsandbytes", "pip install 'foveal[quantised]' (Linux)"),
    "ONNX on CUDA": ("onnxruntime-gpu", "pip install onnxruntime-gpu in place of onnxruntime"),
}
HUB_TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class Gpu:
    """A graphics processor that torch can use."""

    name: str
    memory_gb: float
    driver: str | None  # None where nvidia-smi does not say


@dataclass(frozen=True, slots=True)
class Machine:
    """What was found."""

    system: str
    cpu: str
    cores: int
    memory_gb: float | None  # None where the system does not say
    bfloat16: bool  # the processor multiplies it
    gpus: tuple[Gpu, ...]
    mps: bool
    torch: str
    onnx_providers: tuple[str, ...]
    decoders: tuple[str, ...]  # of CODECS, in PyAV's FFmpeg
    hardware_codecs: tuple[str, ...]  # kinds of devices that FFmpeg was built for
    packages: dict[str, str | None]  # what for: version, or None and how it comes in PACKAGES
    missing_assets: tuple[str, ...]
    index: bool
    cache: str
    free_gb: float  # of the cache's disk
    hub: str  # reached, out of reach, or not asked


def examine(online: bool = False) -> Machine:
    """Read all of it; the hub is asked only where `online` says so, for three seconds."""
    import onnxruntime  # type: ignore[import-untyped]
    import torch

    from foveal.setup.retrieval.search import index_dir
    from perception.torch_compat import multiplies_bfloat16
    from retrieval.store.index_folder import has_index

    root = cache_root()
    decoders, hardware = _codecs()
    return Machine(
        f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        _cpu(),
        os.cpu_count() or 1,
        _memory_gb(),
        multiplies_bfloat16(),
        _gpus(),
        bool(torch.backends.mps.is_available()),
        f"{torch.__version__}, CUDA {torch.version.cuda or 'not built in'}",
        tuple(onnxruntime.get_available_providers()),
        decoders,
        hardware,
        {what: _version(package) for what, (package, _) in PACKAGES.items()},
        tuple(one.name for one in ASSETS if not _is_there(root / one.name, one.derived)),
        has_index(index_dir()),
        str(root),
        round(shutil.disk_usage(_existing(root)).free / GB, 1),
        _hub() if online else "not asked (--online asks)",
    )


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith(("model name", "Model")):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GB, 1)
    except (AttributeError, OSError, ValueError):  # Windows
        return None


def _gpus() -> tuple[Gpu, ...]:
    import torch

    if not torch.cuda.is_available():
        return ()
    driver = _driver()
    found = [torch.cuda.get_device_properties(n) for n in range(torch.cuda.device_count())]
    return tuple(Gpu(one.name, round(one.total_memory / GB, 1), driver) for one in found)


def _driver() -> str | None:
    asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(asked, capture_output=True, text=True, timeout=3, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return said.strip().splitlines()[0] if said.strip() else None


def _codecs() -> tuple[tuple[str, ...], tuple[str, ...]]:
    import av
    from av.codec.hwaccel import hwdevices_available

    known = tuple(name for name in CODECS if name in av.codecs_available)
    return known, tuple(sorted(hwdevices_available()))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _is_there(folder: Path, derived: tuple[str, ...]) -> bool:
    return folder.is_dir() and all((folder / file).exists() for file in derived)


def _existing(path: Path) -> Path:
    return next(one for one in (path, *path.parents) if one.exists())


def _hub() -> str:
    import urllib.error
    import urllib.request

    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "not asked (HF_HUB_OFFLINE is set)"
    try:
        with urllib.request.urlopen(constants.ENDPOINT, timeout=HUB_TIMEOUT_S):  # noqa: S310 - the user's
            return f"reached: {constants.ENDPOINT}"
    except urllib.error.HTTPError:
        return f"reached: {constants.ENDPOINT}"
    except (OSError, ValueError) as error:
        return f"out of reach: {constants.ENDPOINT} ({getattr(error, 'reason', error)})"
