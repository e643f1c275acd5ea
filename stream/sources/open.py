"""Recordings as frame sources: one function that opens any of them."""

from collections.abc import AsyncIterator
from fractions import Fraction
from pathlib import Path
from typing import Literal

from stream import extensions
from stream.clock import Clock
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
