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


@pytest.mark.parametrize("hidden", ["", "import sys; sys.modules['resource'] = None; "])
def test_peak_memory_is_counted_where_the_system_does(hidden: str) -> None:
    """Windows has no module `resource`."""
    probe = hidden + "from foveal.setup.footprint import peak_memory_mb; print(peak_memory_mb())"
    run = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    if hidden or sys.platform == "win32":
        assert run.stdout.strip() == "None"
    else:
        assert 5 <= int(run.stdout) < 500
