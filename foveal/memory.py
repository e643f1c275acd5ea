"""Keeps the process small: what glibc's allocator would hold on to goes back to the system."""

import ctypes
import sys

M_ARENA_MAX = -8  # malloc.h
ARENAS = 2


def bound_arenas(count: int = ARENAS) -> bool:
    """Let all threads share `count` heaps; call it before they start. False where it cannot be.

    By default each thread gets heaps of its own, up to eight a core, and what one has freed no
    other can use: about a hundred megabytes at the peak of a replay with its four threads.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    return mallopt is not None and bool(mallopt(M_ARENA_MAX, count))
