"""Recordings as frame sources: one function that opens any of them."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal, Protocol

from stream.clock import Clock
from stream.errors import SourceError
from stream.frame import Frame
from stream.playback import PlaybackOptions, Player

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
ReaderName = Literal["pyav", "decord"]


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What is known of a recording before it is read."""

    width: int  # pixels, after rotation
    height: int
    frame_count: int | None  # None when the container does not say
    duration_ns: int | None
    rate: Fraction | None  # average frames per second
    has_audio: bool = False


@dataclass(slots=True)
class Faults:
    """Frames and timestamps repaired or refused, by cause."""

    counts: dict[str, int] = field(default_factory=dict)

    def add(self, cause: str) -> None:
        """Count one."""
        self.counts[cause] = self.counts.get(cause, 0) + 1


class Reader(Protocol):
    """Reads one recording from start to end, any number of times."""

    faults: Faults

    def info(self) -> SourceInfo: ...

    def read(self, start_ns: int) -> Iterator[Frame]: ...


class Recording:
    """A reader played on a clock: a FrameSource."""

    def __init__(self, reader: Reader, clock: Clock, options: PlaybackOptions) -> None:
        self.reader = reader
        self.player = Player(reader.read, clock, options)

    def info(self) -> SourceInfo:
        """What is known before reading."""
        return self.reader.info()

    @property
    def faults(self) -> dict[str, int]:
        """Repairs and refusals so far, by cause."""
        return dict(self.reader.faults.counts)

    def frames(self) -> AsyncIterator[Frame]:
        """Yield frames in presentation order, paced on the clock."""
        return self.player.frames()


def open_source(
    path: Path | str,
    clock: Clock,
    options: PlaybackOptions | None = None,
    reader: ReaderName = "pyav",
    folder_fps: Fraction = Fraction(10),
) -> Recording:
    """Open a video file, an image folder or an Aria VRS recording.

    Raises SourceError when there is nothing there, or nothing that can be read.
    """
    path = Path(path)
    if not path.exists():
        raise SourceError(f"expected a video, image folder or .vrs at {path}; nothing is there")
    return Recording(_reader(path, reader, folder_fps), clock, options or PlaybackOptions())


def _reader(path: Path, reader: ReaderName, folder_fps: Fraction) -> Reader:
    # Imported here so that a missing extra fails only where it is needed.
    if path.is_dir():
        from stream.folder import FolderReader

        return FolderReader(path, folder_fps)
    if path.suffix.lower() == ".vrs":
        from stream.vrs import VrsReader

        return VrsReader(path)
    if reader == "decord":
        from stream.decord_reader import DecordReader

        return DecordReader(path)
    from stream.video import VideoReader

    return VideoReader(path)
