"""How a recording is played: rate, start, duration, loop, pause (as `ros2 bag play` names them).

A recording never drops a frame: a late consumer makes the playback late.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace

from stream.clock import Clock
from stream.errors import ConfigError
from stream.frame import Frame

DEFAULT_FRAME_NS = 33_333_333  # gap between loops of a single-frame recording


@dataclass(frozen=True, slots=True)
class PlaybackOptions:
    """How to play; raises ConfigError on values that make no sense."""

    rate: float = 1.0  # stream seconds per clock second; 0 = as fast as possible
    start_offset_ns: int = 0  # skip this much of the recording
    duration_ns: int | None = None  # play this much of it; None = to the end
    loop: bool = False  # start again at the end; timestamps go on growing
    start_paused: bool = False  # wait for `Player.resume`

    def __post_init__(self) -> None:
        if not math.isfinite(self.rate) or self.rate < 0:
            raise ConfigError(f"expected a playback rate of 0 or more, got {self.rate}")
        if self.start_offset_ns < 0:
            raise ConfigError(f"expected a start offset >= 0 ns, got {self.start_offset_ns}")
        if self.duration_ns is not None and self.duration_ns <= 0:
            raise ConfigError(f"expected a duration > 0 ns, got {self.duration_ns}")


class Player:
    """Paces a reader's frames on a clock.

    `read(start_ns)` yields the recording's frames from `start_ns` on, timestamps relative to the
    recording's start. It is called again for each loop.
    """

    def __init__(
        self, read: Callable[[int], Iterator[Frame]], clock: Clock, options: PlaybackOptions
    ) -> None:
        self._read = read
        self._clock = clock
        self._options = options
        self._running = asyncio.Event()
        if not options.start_paused:
            self._running.set()

    def pause(self) -> None:
        """Hold the next frame back until `resume`; the pause does not count as stream time."""
        self._running.clear()

    def resume(self) -> None:
        """Go on after `pause` or `start_paused`."""
        self._running.set()

    async def frames(self) -> AsyncIterator[Frame]:
        """Yield frames in order, each no earlier than its time on the clock."""
        options, shift_ns, origin_ns = self._options, 0, None
        while True:
            last_ns, step_ns, count = 0, DEFAULT_FRAME_NS, 0
            for frame in self._span():
                pts_ns = frame.pts_ns + shift_ns
                if count:
                    step_ns = pts_ns - last_ns
                if not self._running.is_set():
                    await self._running.wait()
                    origin_ns = None
                if origin_ns is None:
                    origin_ns = self._origin(pts_ns)
                await self._pace(origin_ns, pts_ns)
                yield replace(frame, pts_ns=pts_ns, arrival_ns=self._clock.now_ns())
                last_ns, count = pts_ns, count + 1
            if not options.loop or not count:
                return
            shift_ns = last_ns + step_ns - options.start_offset_ns

    def _span(self) -> Iterator[Frame]:
        start_ns, duration_ns = self._options.start_offset_ns, self._options.duration_ns
        for frame in self._read(start_ns):
            if frame.pts_ns < start_ns:
                continue
            if duration_ns is not None and frame.pts_ns >= start_ns + duration_ns:
                return
            yield frame

    def _origin(self, pts_ns: int) -> int:
        """Clock time at which the stream's time zero would have been."""
        rate = self._options.rate
        return self._clock.now_ns() - (round(pts_ns / rate) if rate else 0)

    async def _pace(self, origin_ns: int, pts_ns: int) -> None:
        rate = self._options.rate
        due_ns = origin_ns + round(pts_ns / rate) if rate else self._clock.now_ns()
        await self._clock.sleep_until(due_ns)
