"""The annotated video: an H.264 file written picture by picture, each with its own time."""

from contextlib import AbstractContextManager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import cv2

from foveal.output.annotate import fit_inside
from stream.clock import NS_PER_S
from stream.frame import Image
from stream.writing import Writer, writing

CODECS = {
    # name: (time base, options); MPEG-4 part 2 counts at most 65,535 ticks a second.
    "libx264": (Fraction(1, 1_000_000), {"preset": "ultrafast", "crf": "24"}),
    "mpeg4": (Fraction(1, 60_000), {"b": "4000000"}),
}
GOP_FRAMES = 60
# Fragments: memory does not grow with the video, and a killed run leaves a video that plays.
MUXING = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "flush_packets": "1"}
ADVICE = "free space, choose another folder, or leave the video out"
BT601 = 6  # AVCOL_SPC_SMPTE170M, what cv2 converts with


class _File:
    """A file that keeps its write error to itself: FFmpeg's muxer crashes after one."""

    def __init__(self, path: Path) -> None:
        self._raw = path.open("wb", buffering=0)
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        rest = memoryview(data)
        try:
            while rest and self.error is None:
                rest = rest[self._raw.write(rest) or 0 :]
        except OSError as error:
            self.error = error
        return len(data)

    def close(self) -> None:
        self._raw.close()


class AnnotatedVideo(Writer):
    """An H.264 file of pictures with their own times (MPEG-4 part 2 where x264 is missing).

    `size` is (width, height) of the pictures to come; the video is at most `max_height` high and
    even-sided. Times count from the first picture. Raises OutputError when it cannot be written.
    """

    def __init__(self, path: Path, size: tuple[int, int], max_height: int = 720) -> None:
        self.size = _video_size(size, max_height)
        self._path = path
        self._codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
        self._time_base = CODECS[self._codec][0]
        self._first_ns: int | None = None
        self._last_pts = -1
        self._closed = False
        with self._writing():
            self._file = _File(path)
            self._container = av.open(self._file, "w", format="mp4", options=MUXING)
            self._stream = _add_stream(self._container, self._codec, self.size)

    def write(self, image: Image, pts_ns: int) -> None:
        """Add one picture; another size is fitted in, a time not after the last is moved up."""
        if self._first_ns is None:
            self._first_ns = pts_ns
        ticks = (pts_ns - self._first_ns) // (self._time_base * NS_PER_S)
        pts = max(ticks, self._last_pts + 1)
        planes = cv2.cvtColor(fit_inside(image, self.size), cv2.COLOR_RGB2YUV_I420)
        picture = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        picture.pts, picture.time_base, self._last_pts = pts, self._time_base, pts
        picture.colorspace = BT601
        self._mux(picture)

    def close(self) -> None:
        """Write what the encoder still holds. Closing twice is fine."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._last_pts >= 0:
                self._mux(None)
            self._container.close()
            self._check()
        finally:
            self._file.close()

    def _mux(self, picture: Any) -> None:
        with self._writing():
            for packet in self._stream.encode(picture):
                self._container.mux(packet)
        self._check()

    def _check(self) -> None:
        if self._file.error is not None:
            with self._writing():
                raise self._file.error

    def _writing(self) -> AbstractContextManager[None]:
        return writing(self._path, av.error.FFmpegError, ValueError, advice=ADVICE)


def _video_size(size: tuple[int, int], max_height: int) -> tuple[int, int]:
    ratio = min(1.0, max_height / size[1])
    width, height = (max(2, 2 * round(side * ratio / 2)) for side in size)
    return width, height


def _add_stream(container: Any, codec: str, size: tuple[int, int]) -> Any:
    time_base, options = CODECS[codec]
    stream = container.add_stream(codec, rate=30, options=options)
    stream.width, stream.height = size
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = time_base
    stream.codec_context.gop_size = GOP_FRAMES
    stream.codec_context.colorspace = BT601
    return stream
