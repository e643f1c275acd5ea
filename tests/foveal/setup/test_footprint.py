"""What nobody uses is not held: the allocator's bound, Triton without a GPU, freed pages."""

import subprocess
import sys

import pytest

from foveal.setup.footprint import trim_heap

PROBE = """
import ctypes, re, threading
from foveal.setup.footprint import bound_arenas

if not bound_arenas(2):
    print("none")
else:
    def work():
        kept = [bytes(3000) for _ in range(3000)]
        gate.wait()
        del kept
    gate = threading.Barrier(9)
    threads = [threading.Thread(target=work) for _ in range(8)]
    [thread.start() for thread in threads]
    libc = ctypes.CDLL(None)
    libc.fopen.restype = ctypes.c_void_p
    import tempfile
    with tempfile.NamedTemporaryFile() as told:
        file = ctypes.c_void_p(libc.fopen(told.name.encode(), b"w"))
        libc.malloc_info(0, file)
        libc.fclose(file)
        print(len(re.findall("<heap nr", told.read().decode())))
    gate.wait()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs glibc")
def test_eight_threads_share_two_heaps() -> None:
    run = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    assert run.stdout.strip() in {"1", "2", "none"}


TRITON = """
import sys
from pathlib import Path
import foveal.setup.footprint
from foveal.setup.footprint import ACCELERATORS, spare_triton
import foveal  # has called it already
gone = "triton" in sys.modules and sys.modules["triton"] is None
print(gone == (not any(Path(one).exists() for one in ACCELERATORS)), spare_triton())
"""


def test_triton_stays_out_of_a_process_without_an_accelerator() -> None:
    run = subprocess.run([sys.executable, "-c", TRITON], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["True", "False"]


def test_freed_pages_go_back() -> None:
    assert isinstance(trim_heap(), bool)


ABSENT = "f.LINUX_STATUS = f.Path('/nowhere'); "  # macOS
NOBODY = ABSENT + "f.resource = None; "  # Windows


@pytest.mark.parametrize("system", ["", ABSENT, NOBODY])
def test_peak_memory_is_counted_where_the_system_does(system: str) -> None:
    probe = f"import foveal.setup.footprint as f; {system}print(f.peak_memory_mb())"
    run = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    if system == NOBODY or sys.platform == "win32":
        assert run.stdout.strip() == "None"
    else:
        assert int(run.stdout) >= 5


@pytest.mark.skipif(sys.platform != "linux", reason="counted by Linux' /proc")
def test_peak_memory_is_this_process_own_whatever_started_it() -> None:
    held = bytearray(600 << 20)
    probe = "import foveal.setup.footprint as f; print(f.peak_memory_mb())"
    run = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 500 < len(held) >> 20
