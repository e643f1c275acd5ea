"""A double of what a memory keeps of pictures, for sessions without networks."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from foveal.session.memory.impressions import Noted
from retrieval.memory.events import LOOK_BYTES, Meanings
from stream.frame import Image, Mask


@dataclass(slots=True, eq=False)
class PlainImpressions:
    """Sees the same things in every picture; a region's look is its area."""

    seen: Sequence[Noted] = ()
    written: str = ""
    encoder: str = "conse+hash-8"
    regions: list[int] = field(default_factory=list)  # pixels of each that was looked at

    def scene(self, image: Image) -> Meanings | None:
        return np.full(8, 64, np.int8)

    def region(self, image: Image, mask: Mask) -> tuple[Meanings | None, bytes]:
        self.regions.append(int(mask.sum()))
        return np.full(8, 32, np.int8), bytes([self.regions[-1] % 256]) * LOOK_BYTES

    def things(self, image: Image) -> tuple[Noted, ...]:
        return tuple(self.seen)

    def words(self, image: Image) -> str:
        return self.written
