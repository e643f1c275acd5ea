"""What an object looks like to SAM 2's image encoder, and where in a frame something looks so.

A tracker's memory holds its last frames, so an object that was out of view for long is forgotten
but for its prompted frames. Here its looks are kept: the encoder's features (stride 16) under its
mask on sure frames, averaged to one unit vector each. They cost a few kilobytes and do not age.
How alike is alike enough is learnt from each object while it is in view: how like itself it stays,
and how like it the rest of those pictures is.
"""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F

from perception.sam2.types import FrameFeatures
from perception.sam2_tracking.state import LookMemory, Sam2Config
from stream.geometry import FloatBox

SCALES = (1.0, 0.7, 1.4)  # of the object's last size, at which it is sought
LEAST_INSIDE = 0.5  # of the object inside the frame, for a place to count
RATE = 0.2  # share of a new frame in what is usual
NEW_LOOK = 0.9  # likeness to all known looks below which another is worth keeping
PLAIN = 0.4  # likeness that any thing of the next picture may have, however plain the last were
LEAST_GAP = 0.05  # between an object's likeness to itself and the rest's: below, it has no own look
APART = 1.0  # of its size that another place must be away, to be another place


@dataclass(frozen=True, slots=True)
class Place:
    """Where a frame looks most like an object."""

    box: FloatBox  # in feature cells
    likeness: float  # cosine there, -1..1
    rival: float  # the best cosine at another place


class Looks:
    """Takes looks of objects, and seeks them."""

    def __init__(self, grid: tuple[int, int], config: Sam2Config) -> None:
        self._grid, self._config = grid, config

    def maps(self, seen: FrameFeatures) -> torch.Tensor:
        """[C, h, w] features without what all places of the frame share."""
        tokens = seen.tokens.float()
        return (tokens - tokens.mean(0)).T.reshape(-1, *self._grid)

    def start(self, maps: torch.Tensor, logits: torch.Tensor) -> LookMemory | None:
        """The looks of an object prompted with [4h, 4w] logits; None for one without a pixel."""
        cut = self._cut(logits)
        if cut is None:
            return None
        stencil, corner = cut
        look = _look(maps, stencil, corner)
        place = self.seek(maps, LookMemory(look[None], stencil, 1.0, 0.0), corner)
        return LookMemory(look[None], stencil, 1.0, place.rival)

    def likeness(self, maps: torch.Tensor, memory: LookMemory, logits: torch.Tensor) -> float:
        """Cosine of what a mask shows with the nearest known look; -1 for an empty mask."""
        cut = self._cut(logits)
        if cut is None:
            return -1.0
        return float((memory.vectors @ _look(maps, *cut)).max())

    def seen(self, maps: torch.Tensor, memory: LookMemory, logits: torch.Tensor) -> LookMemory:
        """After a frame that surely shows the object."""
        cut = self._cut(logits)
        if cut is None:
            return memory
        stencil, corner = cut
        look = _look(maps, stencil, corner)
        likeness = float((memory.vectors @ look).max())
        rival = self.seek(maps, replace(memory, stencil=stencil), corner).rival
        vectors = memory.vectors
        if likeness < NEW_LOOK:  # the first look is the prompt's and stays
            keep = self._config.max_looks - 1
            later = torch.cat([vectors[1:], look[None]])[-keep:] if keep else vectors[:0]
            vectors = torch.cat([vectors[:1], later])
        own = (1 - RATE) * memory.own + RATE * likeness
        other = (1 - RATE) * memory.other + RATE * rival
        return LookMemory(vectors, stencil, own, other)

    def sure(self, memory: LookMemory, likeness: float, rival: float = -1.0) -> bool:
        """Whether something that alike is the object, and not its rival."""
        other, gap = _usual(memory)
        enough = likeness >= other + self._config.return_likeness * gap
        apart = likeness - rival >= self._config.return_margin * gap
        return gap >= LEAST_GAP and enough and apart

    def strange(self, memory: LookMemory, likeness: float) -> bool:
        """Whether something so little alike is surely not the object."""
        other, gap = _usual(memory)
        return gap >= LEAST_GAP and likeness < other + self._config.return_likeness / 2 * gap

    def seek(
        self, maps: torch.Tensor, memory: LookMemory, known: tuple[int, int] | None = None
    ) -> Place:
        """The place most like the object, at some scales.

        With `known` (row and column of its box, in cells) that is the place, at its own scale.
        """
        best: tuple[float, int, int, torch.Tensor] | None = None
        scores = []
        for scale in SCALES[:1] if known is not None else SCALES:
            stencil = _scaled(memory.stencil, scale, self._grid)
            score = _scores(maps, memory.vectors, stencil)
            top = int(score.argmax())
            row, col = divmod(top, score.shape[1])
            scores.append((score, stencil))
            if best is None or float(score[row, col]) > best[0]:
                best = float(score[row, col]), row, col, stencil
        assert best is not None, "there is at least one scale"
        likeness, row, col, stencil = best
        height, width = stencil.shape
        if known is not None:  # scores are of centres
            row, col = known[0] + height // 2, known[1] + width // 2
        rival = max(_beside(score, row, col, (height, width)) for score, _ in scores)
        top, left = row - height // 2, col - width // 2
        box = (float(left), float(top), float(left + width), float(top + height))
        return Place(box, likeness, rival)

    def _cut(self, logits: torch.Tensor) -> tuple[torch.Tensor, tuple[int, int]] | None:
        """The mask in its own box, in cells, as shares [a, b]; and the box's row and column."""
        cover = F.adaptive_avg_pool2d((logits > 0).float()[None, None], self._grid)[0, 0]
        inside = cover > 0
        rows, cols = inside.any(1).nonzero(), inside.any(0).nonzero()
        if not len(rows):
            return None
        top, bottom = int(rows[0]), int(rows[-1]) + 1
        left, right = int(cols[0]), int(cols[-1]) + 1
        return cover[top:bottom, left:right].clone(), (top, left)


def _usual(memory: LookMemory) -> tuple[float, float]:
    """How like the object other things are, and how much more so it is itself."""
    other = max(memory.other, PLAIN)
    return other, memory.own - other


def _look(maps: torch.Tensor, stencil: torch.Tensor, corner: tuple[int, int]) -> torch.Tensor:
    """[C] unit vector of the features under a stencil."""
    height, width = stencil.shape
    part = maps[:, corner[0] : corner[0] + height, corner[1] : corner[1] + width]
    return F.normalize((part * stencil).sum((1, 2)), dim=0)


def _scaled(stencil: torch.Tensor, scale: float, grid: tuple[int, int]) -> torch.Tensor:
    if scale == 1.0:
        return stencil
    size = [
        max(1, min(whole, round(side * scale)))
        for side, whole in zip(stencil.shape, grid, strict=True)
    ]
    return F.interpolate(stencil[None, None], size, mode="bilinear", align_corners=False)[0, 0]


def _scores(maps: torch.Tensor, vectors: torch.Tensor, stencil: torch.Tensor) -> torch.Tensor:
    """[h, w] likeness of what the stencil shows when it is centred at each cell.

    -1 where less than half of it is inside.
    """
    height, width = stencil.shape
    kernel = stencil[None, None]
    around = (width // 2, (width - 1) // 2, height // 2, (height - 1) // 2)
    pooled = F.conv2d(F.pad(maps[:, None], around), kernel)[:, 0]  # [C, h, w]
    inside = F.conv2d(F.pad(torch.ones_like(maps[:1, None]), around), kernel)[0, 0]
    score = torch.einsum("kc,chw->khw", vectors, F.normalize(pooled, dim=0)).amax(0)
    return torch.where(inside >= LEAST_INSIDE * stencil.sum(), score, -1.0)


def _beside(score: torch.Tensor, row: int, col: int, size: tuple[int, int]) -> float:
    """The best score of a place that is not this one."""
    reach = [max(1, round(APART * side)) for side in size]
    rest = score.clone()
    top, left = max(0, row - reach[0]), max(0, col - reach[1])
    rest[top : row + reach[0] + 1, left : col + reach[1] + 1] = -1.0
    return float(rest.max())
