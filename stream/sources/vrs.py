"""Project Aria VRS recordings: the RGB camera with its capture timestamps (extra `aria`).

The camera is mounted sideways: pictures are turned a quarter clockwise so that up is up.
"""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from stream.clock import NS_PER_S
from stream.errors import SourceError
from stream.frame import Frame, Image
from stream.sources.reader import Faults, SourceInfo

RGB_PREFIX = "214-"  # recordable type of Aria's RGB camera
AUDIO_PREFIX = "231-"
STDERR = 2
RESET = b"\x1b[0m\n"  # of the colour of its last line
CHATTER = re.compile(rb"(\x1b\[[\d;]*m)*\[\w+\]\[(INFO|DEBUG)\]")
CLOCKWISE_QUARTER = 3  # in counter-clockwise quarter turns, as numpy counts them


class VrsReader:
    """Reads the RGB stream of a VRS file; timestamps count from its first frame."""

    def __init__(self, path: Path) -> None:
        self.faults = Faults()
        self._path = path
        self._file = _open(path)
        names = sorted(name for name in self._file.stream_ids if name.startswith(RGB_PREFIX))
        if not names:
            raise SourceError(
                f"expected an Aria RGB stream (214-*) in {path}, got "
                f"{sorted(self._file.stream_ids)}"
            )
        self._records = self._file.filtered_by_fields(stream_ids=names[0], record_types="data")
        if not len(self._records):
            raise SourceError(f"expected RGB frames in {path}; the stream is empty")
        self.first_capture_ns = _capture_ns(self._records[0])  # on the device's own clock

    def info(self) -> SourceInfo:
        """Upright size, exact count, duration from the first to the last capture."""
        first = next(self.read(0), None)
        if first is None:
            raise SourceError(
                f"expected RGB frames as JPEG or pixels in {self._path}, none can be decoded; "
                "recordings of Aria Gen 2 hold compressed video: convert them with vrs_to_mp4"
            )
        height, width = first.size
        count = len(self._records)
        span_ns = _capture_ns(self._records[count - 1]) - self.first_capture_ns
        rate = Fraction((count - 1) * NS_PER_S, span_ns) if span_ns > 0 else None
        audio = any(name.startswith(AUDIO_PREFIX) for name in self._file.stream_ids)
        return SourceInfo(width, height, count, span_ns, rate, audio)

    def read(self, start_ns: int) -> Iterator[Frame]:
        """Yield frames from `start_ns` on; an undecodable one is counted and left out."""
        last_ns = -1
        for index in range(len(self._records)):
            record = self._records[index]
            pts_ns = _capture_ns(record) - self.first_capture_ns
            if pts_ns <= last_ns:
                self.faults.add("non-monotonic pts")
                pts_ns = last_ns + 1
            last_ns = pts_ns
            if pts_ns < start_ns:
                continue
            image = _upright(record.image_blocks[0])
            if image is None:
                self.faults.add("unreadable picture")
                continue
            yield Frame(pts_ns, pts_ns, image, self._path.name)


def read_microphone(path: Path) -> Iterator[tuple[npt.NDArray[np.float32], int, int]]:
    """The first of the glasses' microphones: samples [N] in -1..1, their time, their rate.

    Times count from the first RGB frame. Raises SourceError when there is no sound.
    """
    file = _open(path)
    first_ns = VrsReader(path).first_capture_ns
    names = sorted(name for name in file.stream_ids if name.startswith(AUDIO_PREFIX))
    if not names:
        raise SourceError(f"expected a microphone (231-*) in {path}, got {sorted(file.stream_ids)}")
    for record in file.filtered_by_fields(stream_ids=names[0], record_types="data"):
        for block, spec in zip(record.audio_blocks, record.audio_specs, strict=True):
            samples = np.asarray(block)[:, 0]
            full = float(np.iinfo(samples.dtype).max) if samples.dtype.kind == "i" else 1.0
            pts_ns = _heard_ns(record) - first_ns
            yield (samples / full).astype(np.float32), pts_ns, int(spec.sample_rate)


def _heard_ns(record: Any) -> int:
    """When the first sample of a record was captured."""
    for block in record.metadata_blocks:
        if "capture_timestamps_ns" in block and len(block["capture_timestamps_ns"]):
            return int(block["capture_timestamps_ns"][0])
    return _capture_ns(record)


def _open(path: Path) -> Any:
    try:
        import pyvrs
    except ImportError as error:
        raise SourceError(
            "expected the package vrs for a .vrs file; run `pip install vrs`"
        ) from error
    try:
        with without_chatter():
            return pyvrs.SyncVRSReader(str(path))
    except Exception as error:  # the bindings raise plain RuntimeError and ValueError
        raise SourceError(f"expected a VRS recording at {path}: {error}") from error


@contextmanager
def without_chatter() -> Iterator[None]:
    """Keep what the library tells of its progress off standard error: it has no setting for that.

    It writes to the file descriptor, past Python. What else was written meanwhile is let through.
    """
    try:
        kept = os.dup(STDERR)
    except OSError:  # there is no standard error
        yield
        return
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), STDERR)
        try:
            yield
        finally:
            os.dup2(kept, STDERR)
            os.close(kept)
            caught.seek(0)
            for line in caught:
                if not CHATTER.match(line) and line.strip(RESET):
                    os.write(STDERR, line)


def _capture_ns(record: Any) -> int:
    for block in record.metadata_blocks:
        if "capture_timestamp_ns" in block:
            return int(block["capture_timestamp_ns"])
    return int(round(record.timestamp * NS_PER_S))  # noqa: RUF046 - the bindings are untyped


def _upright(block: Any) -> Image | None:
    """Encoded or raw pixels -> upright RGB [H, W, 3]."""
    data = np.asarray(block)
    if data.ndim == 1:
        bgr = cv2.imdecode(data, cv2.IMREAD_COLOR)
        if bgr is None:
            return None
        data = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    elif data.ndim == 2:
        data = np.repeat(data[:, :, None], 3, axis=2)
    return np.ascontiguousarray(np.rot90(data, CLOCKWISE_QUARTER))
