"""Describe an object under its own outline on feature maps, and seek it by that outline.

For a tracker whose memory holds its last frames only, so that an object that was out of view for
long is forgotten but for its prompted frames. Features under its mask on sure frames are averaged
to one unit vector each; they cost a few kilobytes and do not age.
"""

from dataclasses import replace

import torch
import torch.nn.functional as F

from perception.reid.reidentifier import AppearanceModel, FoundPlace, ReIdentifier, Scale
from stream.geometry import FloatBox, mask_box

SCALES = (1.0, 0.7, 1.4)  # of the object's last size, at which it is sought
LEAST_INSIDE = 0.5  # of the object inside the frame, for a place to count
APART = 1.0  # of its size that another place must be away, to be another place

Cut = tuple[torch.Tensor, tuple[int, int]]  # a stencil, and the row and column of its corner


class StencilSeeker:
    """Describes objects on [C, h, w] feature maps, and seeks them there."""

    def __init__(self, grid: tuple[int, int], reidentifier: ReIdentifier) -> None:
        """`grid`: rows and columns of the maps."""
        self._grid, self._reid = grid, reidentifier

    def maps(self, tokens: torch.Tensor) -> torch.Tensor:
        """[h * w, C] features -> [C, h, w] without what all places of the frame share."""
        tokens = tokens.float()
        return (tokens - tokens.mean(0)).T.reshape(-1, *self._grid)

    def start(self, maps: torch.Tensor, logits: torch.Tensor) -> AppearanceModel | None:
        """Of an object prompted with [4h, 4w] logits; None for one without a pixel."""
        cut = self._cut(logits)
        if cut is None:
            return None
        known = AppearanceModel(_descriptor(maps, cut)[None], stencil=cut[0])
        return replace(known, scale=Scale(1.0, self._rival(maps, known, cut)))

    def likeness(self, maps: torch.Tensor, known: AppearanceModel, logits: torch.Tensor) -> float:
        """Cosine of what a mask shows with what is known; -1 for an empty mask."""
        cut = self._cut(logits)
        return -1.0 if cut is None else known.likeness(_descriptor(maps, cut))

    def learnt(
        self, maps: torch.Tensor, known: AppearanceModel, logits: torch.Tensor
    ) -> AppearanceModel:
        """After a frame that surely shows the object."""
        cut = self._cut(logits)
        if cut is None:
            return known
        known = replace(known, stencil=cut[0])
        return self._reid.learnt(known, _descriptor(maps, cut), self._rival(maps, known, cut))

    def seek(self, maps: torch.Tensor, known: AppearanceModel) -> FoundPlace[FloatBox]:
        """The place most like the object, at some scales: a box in feature cells."""
        assert known.stencil is not None, "an appearance made by `start`"
        stencils = [_scaled(known.stencil, scale, self._grid) for scale in SCALES]
        scores = [_scores(maps, known.vectors, stencil) for stencil in stencils]
        best = max(range(len(scores)), key=lambda one: float(scores[one].max()))
        likeness = float(scores[best].max())
        row, col = divmod(int(scores[best].argmax()), scores[best].shape[1])
        height, width = stencils[best].shape
        rival = max(_beside(score, row, col, (height, width)) for score in scores)
        top, left = row - height // 2, col - width // 2
        box = (float(left), float(top), float(left + width), float(top + height))
        return FoundPlace(box, likeness, rival)

    def _rival(self, maps: torch.Tensor, known: AppearanceModel, cut: Cut) -> float:
        """How like the object the next best place is, where it itself was cut out."""
        stencil, (top, left) = cut
        height, width = stencil.shape
        score = _scores(maps, known.vectors, stencil)  # of centres
        return _beside(score, top + height // 2, left + width // 2, (height, width))

    def _cut(self, logits: torch.Tensor) -> Cut | None:
        """The mask in its own box, in cells, as shares [a, b]; and the box's row and column."""
        cover = F.adaptive_avg_pool2d((logits > 0).float()[None, None], self._grid)[0, 0]
        box = mask_box((cover > 0).cpu().numpy())
        if box is None:
            return None
        left, top, right, bottom = box
        return cover[top:bottom, left:right].clone(), (top, left)


def _descriptor(maps: torch.Tensor, cut: Cut) -> torch.Tensor:
    """[C] unit vector of the features under a stencil."""
    stencil, (top, left) = cut
    height, width = stencil.shape
    part = maps[:, top : top + height, left : left + width]
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
