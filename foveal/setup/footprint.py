"""Keeps the process small: what nobody uses is not loaded, or goes back to the system."""

import ctypes
import sys
from pathlib import Path

try:
    import resource
except ModuleNotFoundError:  # Windows
    resource = None  # type: ignore[assignment]

M_ARENA_MAX = -8  # malloc.h
ARENAS = 2
LINUX_STATUS = Path("/proc/self/status")
ACCELERATORS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")  # NVIDIA, the same under WSL, AMD


def bound_arenas(count: int = ARENAS) -> bool:
    """Let all threads share `count` heaps; call it before they start. False where it cannot be.

    By default each thread gets heaps of its own, up to eight a core, and what one has freed no
    other can use: about a hundred megabytes at the peak of a replay with its four threads.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    return mallopt is not None and bool(mallopt(M_ARENA_MAX, count))


def spare_triton() -> bool:
    """Keep Triton, which compiles for GPUs alone, out of a process that has none; True if it did.

    torch's compiler imports it where it is installed, and transformers imports torch's compiler:
    70 MB and a second of start-up. Nothing happens where a driver is there or Triton is loaded.
    """
    if "triton" in sys.modules or any(Path(one).exists() for one in ACCELERATORS):
        return False
    sys.modules["triton"] = None  # type: ignore[assignment]  # Python's own way to say "not here"
    return True


def peak_memory_mb() -> int | None:
    """The most memory that this process has held so far, in MiB; None where nobody counts it.

    Linux' own count first: getrusage(2) tells a child the peak of a larger parent that started it.
    """
    if LINUX_STATUS.is_file():
        for line in LINUX_STATUS.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) >> 10  # KiB
    if resource is None:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (1 << 20 if sys.platform == "darwin" else 1 << 10)  # bytes there, KiB elsewhere


def trim_heap() -> bool:
    """Give freed pages back to the system; False where the C library cannot.

    Loading leaves some thirty megabytes of them behind.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    return trim is not None and bool(trim(0))
