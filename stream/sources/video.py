"""Video files through PyAV: true presentation timestamps, rotation, damaged packets.

Timestamps are exact (pts times the rational time base), in integer nanoseconds, counted from
the first frame. Missing or non-monotonic ones are repaired and counted, never dropped.
"""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np

from stream.clock import NS_PER_S
from stream.errors import SourceError
from stream.frame import Frame, Image
from stream.sources.reader import Faults, SourceInfo

EARLY_NS = NS_PER_S  # a file that stops this much before its announced end was cut off
MAX_ERRORS_IN_A_ROW = 64  # after that the rest of the file is taken as unreadable


class VideoReader:
    """Reads a video file frame by frame."""

    def __init__(self, path: Path) -> None:
        self.faults = Faults()
        self._path = path
        self._info = self._probe()

    def info(self) -> SourceInfo:
        """Size after rotation, frame count if the container says, duration, rate, audio."""
        return self._info

    def read(self, start_ns: int) -> Iterator[Frame]:
        """Yield every frame from `start_ns` on; decoding starts at the file's start."""
        with _open(self._path) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            step_ns = self._step_ns(stream)
            origin_ns: int | None = None
            last_ns = -step_ns
            for picture in self._decode(container, stream):
                raw_ns = _exact_ns(picture.pts, picture.time_base)
                if origin_ns is None:
                    origin_ns = raw_ns or 0
                pts_ns = self._repair(raw_ns, origin_ns, last_ns, step_ns)
                last_ns = pts_ns
                if picture.is_corrupt:
                    self.faults.add("damaged frame")
                if pts_ns >= start_ns:
                    yield Frame(pts_ns, pts_ns, _upright(picture), self._path.name)
            due_ns = self._info.duration_ns
            if due_ns is not None and last_ns + max(EARLY_NS, 5 * step_ns) < due_ns:
                self.faults.add("ended before the length it announced")

    def _decode(self, container: Any, stream: Any) -> Iterator[Any]:
        """Decode on past damaged packets; each one is counted."""
        errors = 0
        packets = container.demux(stream)
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
        with _open(self._path) as container:
            if not container.streams.video:
                raise SourceError(f"expected a video stream in {self._path}; it has none")
            stream = container.streams.video[0]
            picture = next(self._decode(container, stream), None)
            if picture is None:
                raise SourceError(f"expected frames in {self._path}; none could be decoded")
            height, width = _upright(picture).shape[:2]
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


def _open(path: Path) -> Any:
    try:
        return av.open(str(path))
    except (av.error.FFmpegError, OSError) as error:
        raise SourceError(
            f"expected a video file that FFmpeg can read at {path}, got: {error.strerror}"
        ) from error


def _exact_ns(pts: int | None, time_base: Fraction | None) -> int | None:
    if pts is None or time_base is None:
        return None
    return int(pts * time_base * NS_PER_S)


def _upright(picture: Any) -> Image:
    """RGB [H, W, 3], turned by the display matrix (counter-clockwise degrees)."""
    image = picture.to_ndarray(format="rgb24")
    turns = round((picture.rotation or 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image
