"""The one source of time. Nothing else in the project reads a clock.

All times are integer nanoseconds. `MonotonicClock` is real time; `VirtualClock` jumps to the next
deadline, so a replay on it is deterministic and takes no longer than its work.
"""

import asyncio
import time
from typing import Protocol

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000


class Clock(Protocol):
    """Reads time and waits for it."""

    def now_ns(self) -> int:
        """Nanoseconds since the clock's origin; never decreases."""

    async def sleep_until(self, deadline_ns: int) -> None:
        """Return at or after `deadline_ns`; at once if it is past."""


class MonotonicClock:
    """Real time since construction."""

    def __init__(self) -> None:
        self._origin_ns = time.monotonic_ns()

    def now_ns(self) -> int:
        """Nanoseconds since construction."""
        return time.monotonic_ns() - self._origin_ns

    async def sleep_until(self, deadline_ns: int) -> None:
        """Sleep in real time; a deadline in the past only yields to the event loop."""
        await asyncio.sleep(max(0, deadline_ns - self.now_ns()) / NS_PER_S)


class VirtualClock:
    """Time that moves only when somebody waits for it or advances it."""

    def __init__(self, start_ns: int = 0) -> None:
        self._now_ns = start_ns

    def now_ns(self) -> int:
        """The virtual time reached so far."""
        return self._now_ns

    def advance_to(self, deadline_ns: int) -> None:
        """Move forward to `deadline_ns`; time never goes backwards."""
        self._now_ns = max(self._now_ns, deadline_ns)

    async def sleep_until(self, deadline_ns: int) -> None:
        """Jump to the deadline and yield once, so that other tasks run."""
        self.advance_to(deadline_ns)
        await asyncio.sleep(0)


class UnixClock:
    """Wall time, for what outlives a process: expiry of tokens, names of recordings. May jump."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC."""
        return time.time_ns()

    async def sleep_until(self, deadline_ns: int) -> None:
        """Sleep until that wall time; a deadline in the past only yields to the event loop."""
        await asyncio.sleep(max(0, deadline_ns - self.now_ns()) / NS_PER_S)


def seconds_to_ns(seconds: float) -> int:
    """Convert seconds to the nearest nanosecond."""
    return round(seconds * NS_PER_S)
