"""Whether something is the object that was followed: one way to decide for all trackers.

A tracker brings its own features: it describes an object in them by unit vectors, and knows how to
seek it there. What is kept of that, how alike is alike enough, and when to seek, is decided here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import torch

from perception.features.backbone import Features, masked_mean
from perception.reid.thresholds import ReidConfig
from stream.frame import Mask

NEW = 0.9  # likeness to all that is known below which another descriptor is worth keeping
RATE = 0.2  # share of a new frame in what is usual

Place = TypeVar("Place", covariant=True)  # a box in feature cells, or a soft mask


@dataclass(frozen=True, slots=True)
class Scale:
    """The ends of an object's own scale of likeness, learnt while it is in view."""

    own: float = 1.0  # how like its descriptors it usually is itself, a cosine
    other: float = 0.0  # and how like them the next best place of the same frames is


ABSOLUTE = Scale()  # where nothing is learnt of an object, cosines are compared as they are


@dataclass(frozen=True, slots=True, eq=False)
class AppearanceModel:
    """What one object looks like, as far as it was seen."""

    vectors: torch.Tensor  # [K, C] float32 unit rows, the first frame's first
    scale: Scale = ABSOLUTE
    stencil: torch.Tensor | None = None  # [a, b] its mask in its box, in feature cells, when sure
    away: int = 0  # frames in a row out of view

    @property
    def blank(self) -> bool:
        """Whether nothing was to be seen of it."""
        return not bool(self.vectors.any())

    def likeness(self, descriptor: torch.Tensor) -> float:
        """Cosine of a [C] descriptor with the nearest known one, -1..1; 0 where one is blank."""
        return float((self.vectors @ descriptor).max())


@dataclass(frozen=True, slots=True, eq=False)
class FoundPlace(Generic[Place]):
    """Where a frame looks most like an object."""

    place: Place
    likeness: float  # cosine there, -1..1
    rival: float = -1.0  # the best cosine at another place
    clarity: float = 1.0  # 0..1, how clearly it stands out from what is around it


def described(features: Features, mask: Mask) -> torch.Tensor:
    """[C] the backbone's last features under a [H, W] mask, at unit length or blank (zero)."""
    pooled = masked_mean(features.top, mask).float().cpu()
    norm = float(pooled.norm())
    return pooled / norm if norm > 1e-6 else torch.zeros_like(pooled)


class ReIdentifier:
    """Decides what is the same thing, what is remembered of it and when it is sought."""

    def __init__(self, config: ReidConfig | None = None) -> None:
        self.config = config or ReidConfig()

    def is_same(self, likeness: float, rival: float = -1.0, scale: Scale = ABSOLUTE) -> bool:
        """Whether something that alike is the object, and not its rival."""
        other, gap = self._ends(scale)
        alike = likeness >= other + self.config.same * gap
        apart = likeness - rival >= self.config.margin * gap
        return gap >= self.config.least_gap and alike and apart

    def is_other(self, likeness: float, scale: Scale = ABSOLUTE) -> bool:
        """Whether something so little alike is surely not the object."""
        other, gap = self._ends(scale)
        return gap >= self.config.least_gap and likeness < other + self.config.other * gap

    def believed(self, found: FoundPlace[Place], scale: Scale = ABSOLUTE) -> Place | None:
        """The place that was found, if it shows the object."""
        clear = found.clarity >= self.config.clarity
        return found.place if clear and self.is_same(found.likeness, found.rival, scale) else None

    def is_due(self, away: int) -> bool:
        """Whether an object that is out of view for so many frames is sought in this one."""
        late = away - self.config.patience
        return late >= 0 and late % self.config.seek_every == 0

    def recognised(
        self, known: Mapping[int, AppearanceModel], descriptor: torch.Tensor
    ) -> int | None:
        """Which of some objects a [C] descriptor shows; None when it is none of them."""
        best = max(known, key=lambda one: known[one].likeness(descriptor), default=None)
        if best is None or not self.is_same(known[best].likeness(descriptor)):
            return None
        return best

    def learnt(
        self, known: AppearanceModel, descriptor: torch.Tensor, rival: float
    ) -> AppearanceModel:
        """After a frame that surely shows the object; the first descriptor stays for good.

        `rival`: likeness of the next best place of that frame.
        """
        likeness, vectors = known.likeness(descriptor), known.vectors
        if likeness < NEW:
            keep = self.config.max_descriptors - 1
            later = torch.cat([vectors[1:], descriptor[None]])[-keep:] if keep else vectors[:0]
            vectors = torch.cat([vectors[:1], later])
        own = (1 - RATE) * known.scale.own + RATE * likeness
        other = (1 - RATE) * known.scale.other + RATE * rival
        return replace(known, vectors=vectors, scale=Scale(own, other))

    def _ends(self, scale: Scale) -> tuple[float, float]:
        """How like the object other things are, and how much more so it is itself."""
        other = max(scale.other, self.config.plain)
        return other, scale.own - other
