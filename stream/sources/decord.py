"""Video files through decord: fast random access; timestamps come from the container index."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from stream.clock import NS_PER_S
from stream.errors import SourceError
from stream.frame import Frame
from stream.sources.reader import Faults, SourceInfo


class DecordReader:
    """Reads a video file by index or by time."""

    def __init__(self, path: Path) -> None:
        try:
            import decord
        except ModuleNotFoundError as error:
            raise SourceError(
                "expected the package decord; `pip install decord` where there are wheels of it "
                "(x86-64 Linux and Windows), elsewhere read with --reader pyav"
            ) from error
        self.faults = Faults()
        self._path = path
        try:
            self._video = decord.VideoReader(str(path), ctx=decord.cpu(0))
        except Exception as error:  # decord raises its own DECORDError, RuntimeError or OSError
            raise SourceError(
                f"expected a video that decord can read at {path}: {error}"
            ) from error
        spans = self._video.get_frame_timestamp(np.arange(len(self._video)))
        starts = np.asarray(spans, dtype=np.float64)[:, 0]
        # decord hands out float32 seconds: whole microseconds are the most they hold.
        micros = np.rint((starts - starts[0]) * 1e6).astype(np.int64)
        self._pts_ns = micros * 1000

    def info(self) -> SourceInfo:
        """Size, exact count, duration and rate."""
        height, width = self._video[0].shape[:2]
        count = len(self._pts_ns)
        rate = Fraction(self._video.get_avg_fps()).limit_denominator(1001)
        return SourceInfo(width, height, count, int(count * NS_PER_S / rate), rate)

    def read(self, start_ns: int) -> Iterator[Frame]:
        """Yield every frame from `start_ns` on."""
        first = int(np.searchsorted(self._pts_ns, start_ns))
        for index in range(first, len(self._pts_ns)):
            yield self._frame(index)

    def _frame(self, index: int) -> Frame:
        pts_ns = int(self._pts_ns[index])
        return Frame(pts_ns, pts_ns, self._video[index].asnumpy(), self._path.name)
