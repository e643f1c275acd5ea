"""A folder of pictures as a recording, in the order of their names, numbers as numbers."""

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2

from stream.clock import NS_PER_S
from stream.errors import ConfigError, SourceError
from stream.frame import Frame, Image
from stream.sources.reader import IMAGE_SUFFIXES, Faults, SourceInfo


class FolderReader:
    """Reads pictures at a fixed rate; an unreadable one is counted and its time slot left out.

    Hidden files (twins of macOS, ._frame.jpg) are no pictures; files of other kinds are counted.
    """

    def __init__(self, path: Path, fps: Fraction) -> None:
        if fps <= 0:
            raise ConfigError(f"expected frames per second > 0, got {fps}")
        self.faults = Faults()
        self._path = path
        self._fps = fps
        shown = [p for p in path.iterdir() if p.is_file() and not p.name.startswith(".")]
        self._files = sorted((p for p in shown if _is_picture(p)), key=_in_order)
        for other in (p for p in shown if not _is_picture(p)):
            self.faults.add(f"left out: {other.suffix.lower() or 'file without a suffix'}")
        if not self._files:
            wanted = " ".join(sorted(IMAGE_SUFFIXES))
            raise SourceError(f"expected pictures ({wanted}) in {path}; there are none")

    def info(self) -> SourceInfo:
        """Size of the first readable picture, count and duration."""
        first = next(self.read(0), None)
        if first is None:
            raise SourceError(
                f"none of the {len(self._files)} pictures in {self._path} can be read"
            )
        height, width = first.size
        count = len(self._files)
        return SourceInfo(width, height, count, self._pts_ns(count), self._fps)

    def read(self, start_ns: int) -> Iterator[Frame]:
        """Yield the pictures from `start_ns` on."""
        for index, file in enumerate(self._files):
            pts_ns = self._pts_ns(index)
            if pts_ns < start_ns:
                continue
            image = _load(file)
            if image is None:
                self.faults.add("unreadable picture")
                continue
            yield Frame(pts_ns, pts_ns, image, file.name)

    def _pts_ns(self, index: int) -> int:
        return int(index * NS_PER_S / self._fps)


def _is_picture(file: Path) -> bool:
    return file.suffix.lower() in IMAGE_SUFFIXES


def _in_order(file: Path) -> tuple[list[tuple[int, str]], str]:
    """Numbers inside a name compare as numbers: frame_2 comes before frame_10."""
    parts = re.findall(r"([0-9]+)|([^0-9]+)", file.name)
    return [(int(digits or 0), text) for digits, text in parts], file.name


def _load(file: Path) -> Image | None:
    bgr = cv2.imread(str(file), cv2.IMREAD_COLOR)
    return None if bgr is None else cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
