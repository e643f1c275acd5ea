"""The allocator's bound holds for threads that start after it."""

import subprocess
import sys

import pytest

PROBE = """
import ctypes, re, threading
from foveal.memory import bound_arenas

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
