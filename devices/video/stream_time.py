"""Stream time of a live URL's pictures: the sender's stamps, or arrival where they say nothing."""

from typing import Any

from devices.video.timeline import VIDEO_CLOCK_HZ, RtpTimeline
from stream.clock import NS_PER_S

NO_TIMESTAMPS = 0x80  # AVFMT_NOTIMESTAMPS of a demuxer: what stamps there are, FFmpeg made up
PICTURES = ("_pipe", "image2pipe")  # names of demuxers of bare pictures, which have no such flag
AHEAD_TICKS = 10 * VIDEO_CLOCK_HZ  # a step so much longer than the wait for it is a wrong stamp
BACK_TICKS = VIDEO_CLOCK_HZ  # a longer step back is a clock that began anew


class StreamTime:
    """One time line over all connections, in 90 kHz ticks that only grow.

    Bare H.264 and MJPEG have no times at all: their pictures are as far apart as they came. A
    stamp that is missing, far ahead of its arrival or far back goes by arrival, too.
    """

    def __init__(self) -> None:
        self._timeline = RtpTimeline()
        self._stamped = True
        self._last_ns = 0

    def connect(self, container: Any) -> None:
        """A new connection, an open av container: its stamps count from anywhere."""
        self._timeline.restart()
        name, flags = container.format.name, int(container.format.flags)
        self._stamped = not flags & NO_TIMESTAMPS and not name.endswith(PICTURES)

    def ticks(self, picture: Any, arrival_ns: int) -> int:
        """Of an av.VideoFrame whose last packet came at `arrival_ns`."""
        stamp = _stamp(picture) if self._stamped else None
        if stamp is None or self._jumps(stamp, arrival_ns):
            self._timeline.restart()
        self._last_ns = arrival_ns
        ticks = self._timeline.map(stamp or 0, arrival_ns)
        if stamp is None:
            self._timeline.restart()  # nor does it say anything of the next one
        return ticks

    def _jumps(self, stamp: int, arrival_ns: int) -> bool:
        step = self._timeline.step(stamp)
        waited = (arrival_ns - self._last_ns) * VIDEO_CLOCK_HZ // NS_PER_S
        return step is not None and not -BACK_TICKS <= step <= waited + AHEAD_TICKS


def _stamp(picture: Any) -> int | None:
    if picture.pts is None or picture.time_base is None:
        return None
    return int(picture.pts * picture.time_base * VIDEO_CLOCK_HZ) & 0xFFFFFFFF
