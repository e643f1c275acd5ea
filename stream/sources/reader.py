"""What every reader of recordings tells and does."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Protocol

from stream.frame import Frame

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What is known of a recording before it is read."""

    width: int  # pixels, upright and square
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
