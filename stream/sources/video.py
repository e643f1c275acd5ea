"""Video files through PyAV: true presentation timestamps, rotation, damaged packets.

Timestamps are exact (pts times the rational time base), in integer nanoseconds, counted from
the first frame. Missing or non-monotonic ones and jumps are repaired and counted, never dropped.
"""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error

from stream.clock import NS_PER_S
from stream.errors import SourceError
from stream.frame import Frame
from stream.sources.container import PacketClock, main_video, open_container
from stream.sources.pixels import pixel_aspect, to_rgb
from stream.sources.reader import Faults, SourceInfo

EARLY_NS = NS_PER_S  # a file that stops this much before its announced end was cut off
MAX_ERRORS_IN_A_ROW = 64  # after that the rest of the file is taken as unreadable
INDEXED = ("mp4", "matroska")  # containers whose index leads to a time's keyframe
SEEK_NS = 2 * NS_PER_S  # a start before this is reached by reading
MARGIN_NS = NS_PER_S  # seek to before the start: an index counts decoding times


class VideoReader:
    """Reads a video file frame by frame."""

    def __init__(self, path: Path) -> None:
        self.faults = Faults()
        self._path = path
        self._origin_ns = 0
        self._info = self._probe()

    def info(self) -> SourceInfo:
        """Size as shown, frame count if the container says, duration, rate, audio."""
        return self._info

    def read(self, start_ns: int) -> Iterator[Frame]:
        """Yield every frame from `start_ns` on.

        Decoding starts at the keyframe before it where the container has an index, elsewhere at
        the file's start.
        """
        with open_container(self._path) as container:
            stream = main_video(container)
            stream.thread_type = "AUTO"
            self._seek(container, stream, start_ns)
            clock = PacketClock(stream, self.faults)
            step_ns = self._step_ns(stream)
            last_ns, aspect = -step_ns, pixel_aspect(stream)
            for picture in self._decode(clock.mend(container.demux(stream))):
                raw_ns = _exact_ns(picture.pts, picture.time_base)
                last_ns = pts_ns = self._repair(raw_ns, self._origin_ns, last_ns, step_ns)
                if pts_ns < start_ns:
                    continue
                if picture.is_corrupt:
                    self.faults.add("damaged frame")
                yield Frame(pts_ns, pts_ns, to_rgb(picture, aspect), self._path.name)
            due_ns = None if clock.jumps else self._info.duration_ns
            if due_ns is not None and last_ns + max(EARLY_NS, 5 * step_ns) < due_ns:
                self.faults.add("ended before the length it announced")

    def _seek(self, container: Any, stream: Any, start_ns: int) -> None:
        if start_ns < SEEK_NS or not any(name in container.format.name for name in INDEXED):
            return
        wanted_ns = self._origin_ns + start_ns - MARGIN_NS
        container.seek(int(wanted_ns / (stream.time_base * NS_PER_S)), stream=stream)

    def _decode(self, packets: Iterator[Any]) -> Iterator[Any]:
        """Decode on past damaged packets; each one is counted."""
        errors = 0
        while errors < MAX_ERRORS_IN_A_ROW:
            try:
                packet = next(packets)
                for picture in packet.decode():
                    errors = 0
                    yield picture
            except StopIteration:
                return
            except av.error.EOFError:
                return
            except av.error.FFmpegError:
                errors += 1
                self.faults.add("damaged packet")

    def _repair(self, raw_ns: int | None, origin_ns: int, last_ns: int, step_ns: int) -> int:
        if raw_ns is None:
            self.faults.add("missing pts")
            return last_ns + step_ns
        pts_ns = raw_ns - origin_ns
        if pts_ns <= last_ns:
            self.faults.add("non-monotonic pts")
            return last_ns + step_ns
        return pts_ns

    def _step_ns(self, stream: Any) -> int:
        rate = stream.average_rate or stream.base_rate or Fraction(30)
        return max(1, round(NS_PER_S / rate))

    def _probe(self) -> SourceInfo:
        with open_container(self._path) as container:
            if not container.streams.video:
                raise SourceError(f"expected a video stream in {self._path}; it has none")
            stream = main_video(container)
            picture = next(self._decode(container.demux(stream)), None)
            if picture is None:
                raise SourceError(f"expected frames in {self._path}; none could be decoded")
            self._origin_ns = _exact_ns(picture.pts, picture.time_base) or 0
            height, width = to_rgb(picture, pixel_aspect(stream)).shape[:2]
            duration_ns = _exact_ns(stream.duration, stream.time_base)
            if duration_ns is None and container.duration and not container.streams.audio:
                duration_ns = int(container.duration * NS_PER_S // av.time_base)
            rate = stream.average_rate
            return SourceInfo(
                width=width,
                height=height,
                frame_count=stream.frames or None,
                duration_ns=duration_ns,
                rate=Fraction(rate) if rate else None,
                has_audio=bool(container.streams.audio),
            )


def _exact_ns(pts: int | None, time_base: Fraction | None) -> int | None:
    if pts is None or time_base is None:
        return None
    return int(pts * time_base * NS_PER_S)
