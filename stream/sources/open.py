"""Recordings as frame sources: one function that opens any of them."""

from collections.abc import AsyncIterator
from fractions import Fraction
from pathlib import Path
from typing import Literal

from stream import extensions
from stream.clock import Clock
from stream.errors import ConfigError
from stream.frame import Frame
from stream.sources.container import readable
from stream.sources.playback import PlaybackOptions, Player
from stream.sources.reader import Reader, SourceInfo

ReaderName = Literal["pyav", "decord"]


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
    """Open a video file, an image folder, an Aria VRS recording, or NAME:REST of an extension.

    Raises SourceError when there is nothing there, nothing that can be read, or a pipe.
    """
    added = extensions.named("sources", str(path))
    if added:
        theirs: Reader = extensions.load("sources", added[0])(added[1])
        return Recording(theirs, clock, options or PlaybackOptions())
    path = Path(path)
    readable(path)
    return Recording(_reader(path, reader, folder_fps), clock, options or PlaybackOptions())


def folder_rate(fps: float) -> Fraction:
    """Frames per second of a folder of pictures, as `open_source` takes them; raises ConfigError.

    Of a time lapse, too: 0.5 is a picture every two seconds.
    """
    if not 0.001 <= fps <= 1000:  # NaN is in no range
        raise ConfigError(f"expected --fps from 0.001 to 1000 frames per second, got {fps}")
    return Fraction(fps).limit_denominator(1000)


def _reader(path: Path, reader: ReaderName, folder_fps: Fraction) -> Reader:
    # Imported here so that a missing extra fails only where it is needed.
    if path.is_dir():
        from stream.sources.folder import FolderReader

        return FolderReader(path, folder_fps)
    if path.suffix.lower() == ".vrs":
        from stream.sources.vrs import VrsReader

        return VrsReader(path)
    if reader == "decord":
        from stream.sources.decord import DecordReader

        return DecordReader(path)
    from stream.sources.video import VideoReader

    return VideoReader(path)
