"""Media files as FFmpeg opens them: odd names and metadata, pipes, and jumps of their clocks."""

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import av.error
from av.stream import Disposition

from stream.clock import NS_PER_S
from stream.errors import SourceError
from stream.sources.reader import Faults

# Titles may be in any encoding (old cameras, dashcams, SDP of IP cameras); nobody needs them.
ANY_TEXT = {"metadata_encoding": "utf-8", "metadata_errors": "replace"}
JUMP = "jump of the time stamps"
FORWARD_NS = 10 * NS_PER_S  # a longer step forward is a gap if what follows keeps it
BACK_NS = NS_PER_S  # a longer step back is a clock that began anew
LOOK_AHEAD = 600  # packets that may tell whether a step forward is kept; ten seconds and more


def open_container(path: Path, what: str = "a video file") -> Any:
    """An av container to read from; raises SourceError, which says `what` was expected."""
    readable(path)
    try:
        # Absolute, because FFmpeg takes what stands before a colon for a protocol.
        return av.open(str(path.absolute()), **ANY_TEXT)
    except (av.error.FFmpegError, OSError) as error:
        raise SourceError(
            f"expected {what} that FFmpeg can read at {path}, got: {error.strerror or error}"
        ) from error


def readable(path: Path) -> None:
    """Raises SourceError for a path where nothing is, or that can be read only once."""
    if not path.exists():
        if str(path) == "-":
            raise SourceError(f"expected a file, got -; {READ_TWICE}")
        raise SourceError(
            f"expected a sound file, video, image folder or .vrs at {path}; nothing is there"
        )
    if not path.is_file() and not path.is_dir():
        raise SourceError(f"expected a file at {path}, got a pipe or device; {READ_TWICE}")


READ_TWICE = "a recording is read more than once: save it to a file"


def main_video(container: Any) -> Any:
    """The largest video stream that is more than a cover or thumbnail; None without video."""

    def rank(stream: Any) -> tuple[bool, bool, int]:
        cover = bool(stream.disposition & Disposition.attached_pic)
        return not cover, stream.frames != 1, stream.width * stream.height

    return max(container.streams.video, key=rank, default=None)


class PacketClock:
    """Mends jumps of one stream's time stamps before it is decoded.

    A step back by more than BACK_NS is a clock that began anew: time goes on. A step forward by
    more than FORWARD_NS that the following packets take back is a fault of stamping: time goes on
    until they return. A step forward that they keep is a gap of the recording, and stays.
    """

    def __init__(self, stream: Any, faults: Faults) -> None:
        ticks_per_ns = 1 / (stream.time_base * NS_PER_S)
        self._forward, self._back = (int(ns * ticks_per_ns) for ns in (FORWARD_NS, BACK_NS))
        self._faults = faults
        self._shift = self._home = 0  # ticks taken off; the same before the last jump
        self._last: int | None = None  # mended time of the packet before
        self._step = 1  # ticks between the last two packets
        self._ahead: deque[Any] = deque()
        self._error: Exception | None = None
        self.jumps = 0

    def mend(self, packets: Iterator[Any]) -> Iterator[Any]:
        """The same packets in order; raises what reading them raises, where it happened."""
        while self._fill(packets, 1):
            packet = self._ahead.popleft()
            raw = _time(packet)
            if raw is not None:
                self._place(raw, packets)
                packet.pts, packet.dts = (
                    None if ticks is None else ticks - self._shift
                    for ticks in (packet.pts, packet.dts)
                )
            yield packet
        if self._error is not None:
            raise self._error

    def _place(self, raw: int, packets: Iterator[Any]) -> None:
        """Choose what is taken off from this packet on."""
        last = raw if self._last is None else self._last
        gap = raw - self._shift - last
        if not -self._back <= gap <= self._forward:
            self._jump(raw, gap, last, packets)
        at = raw - self._shift
        if at > last:
            self._step = min(at - last, self._forward)
        self._last = at

    def _jump(self, raw: int, gap: int, last: int, packets: Iterator[Any]) -> None:
        if self._shift != self._home and 0 < raw - self._home - last <= self._forward:
            self._shift = self._home
            return
        if gap > 0 and self._kept(raw, packets):
            return
        self._faults.add(JUMP)
        self.jumps += 1
        self._home, self._shift = self._shift, raw - last - self._step

    def _kept(self, raw: int, packets: Iterator[Any]) -> bool:
        """Whether no packet soon after a step forward is back where it came from."""
        self._fill(packets, LOOK_AHEAD)
        times = (_time(packet) for packet in self._ahead)
        return all(time is None or time >= raw - self._back for time in times)

    def _fill(self, packets: Iterator[Any], count: int) -> bool:
        """Read ahead; False at the end."""
        while len(self._ahead) < count and self._error is None:
            try:
                packet = next(packets, None)
            except av.error.FFmpegError as error:
                self._error = error
                break
            if packet is None:
                break
            self._ahead.append(packet)
        return bool(self._ahead)


def _time(packet: Any) -> int | None:
    ticks: int | None = packet.pts if packet.dts is None else packet.dts
    return ticks
