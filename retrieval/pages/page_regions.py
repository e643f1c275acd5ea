"""From scores of a page's cells to regions: those that stand out, joined to boxes.

A threshold that is fixed suits the encoder it was tuned on alone (docs/log.md); this one lies a
standard deviation above the page's mean, between .4 and .9 of its highest score.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from retrieval.encoders.text import Vectors
from retrieval.pages.cells import Shares

LOW, HIGH = 0.4, 0.9  # of the page's highest score, between which the threshold lies
SAME = 0.5  # overlap from which two regions are one
GROWN = 0.2  # share that the hull of two regions may exceed both by to be one
LINE_GAP = 1.5  # of a line's height, up to which the next one belongs: one between may score less


@dataclass(frozen=True, slots=True)
class PageRegion:
    """A part of a page."""

    score: float  # of its best cell
    box: tuple[float, float, float, float]  # x0, y0, x1, y1 in shares of the page
    cells: tuple[int, ...]  # in reading order


def threshold(scores: Vectors) -> float:
    """Mean and a standard deviation of the page's cells [N], within its bounds."""
    high = float(scores.max())
    wanted = float(scores.mean() + scores.std())
    return float(np.clip(wanted, LOW * high, HIGH * high)) if high > 0 else high


def find_regions(
    scores: Vectors,
    boxes: Shares,
    shape: tuple[int, int] | None = None,
    least: float | None = None,
) -> tuple[PageRegion, ...]:
    """Regions of the cells [N] that score `least` (adaptive unless told), best first.

    Ties: what is higher, then what is further left.
    """
    least = threshold(scores) if least is None else least
    chosen = np.flatnonzero(scores >= least)
    if not len(chosen):
        return ()
    near = _neighbours(chosen, shape) if shape else _adjoining(boxes[chosen])
    groups = [[int(chosen[n]) for n in group] for group in _joined(near)]
    merged = _merged([_region(group, scores, boxes) for group in groups], scores, boxes)
    return _sorted(merged if shape else [_filled(one, boxes) for one in merged])


def _neighbours(chosen: npt.NDArray[np.int64], shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """[C, C] which patches touch, corners included."""
    rows, columns = np.divmod(chosen, shape[1])
    apart = np.maximum(np.abs(rows[:, None] - rows[None]), np.abs(columns[:, None] - columns[None]))
    return np.asarray(apart <= 1)


def _adjoining(boxes: Shares) -> npt.NDArray[np.bool_]:
    """[C, C] which lines stand above each other without a gap, or beside each other."""
    x0, y0, x1, y1 = boxes.T
    height = np.minimum.outer(y1 - y0, y1 - y0)
    gap_y = np.maximum.outer(y0, y0) - np.minimum.outer(y1, y1)
    gap_x = np.maximum.outer(x0, x0) - np.minimum.outer(x1, x1)
    above = (gap_y <= LINE_GAP * height) & (gap_x <= 0)
    return np.asarray(above | ((gap_y <= 0) & (gap_x <= height)))


def _joined(near: npt.NDArray[np.bool_]) -> list[list[int]]:
    """Union-find; groups by their first member, members in order: the same on every run."""
    parents = list(range(len(near)))

    def root(one: int) -> int:
        while parents[one] != one:
            parents[one] = parents[parents[one]]
            one = parents[one]
        return one

    for left, right in zip(*(side.tolist() for side in np.nonzero(np.triu(near, 1))), strict=True):
        low, high = sorted((root(left), root(right)))
        parents[high] = low
    groups: dict[int, list[int]] = {}
    for one in range(len(near)):
        groups.setdefault(root(one), []).append(one)
    return list(groups.values())


def _region(cells: list[int], scores: Vectors, boxes: Shares) -> PageRegion:
    taken = boxes[cells]
    x0, y0 = taken[:, :2].min(axis=0).tolist()
    x1, y1 = taken[:, 2:].max(axis=0).tolist()
    return PageRegion(float(scores[cells].max()), (x0, y0, x1, y1), tuple(sorted(cells)))


def _filled(region: PageRegion, boxes: Shares) -> PageRegion:
    """With the lines between its own, which are read with them."""
    x0, y0, x1, y1 = region.box
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    inside = np.flatnonzero((x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)).tolist()
    return replace(region, cells=tuple(sorted({*region.cells, *inside})))


def _merged(regions: list[PageRegion], scores: Vectors, boxes: Shares) -> list[PageRegion]:
    """Until none overlap so much, or lie so close, that they are one."""
    regions = list(_sorted(regions))
    pairs = ((i, j) for i in range(len(regions)) for j in range(i + 1, len(regions)))
    for i, j in pairs:
        if _one(regions[i].box, regions[j].box):
            both = [*regions[i].cells, *regions[j].cells]
            rest = [region for n, region in enumerate(regions) if n not in (i, j)]
            return _merged([*rest, _region(both, scores, boxes)], scores, boxes)
    return regions


def _one(left: tuple[float, ...], right: tuple[float, ...]) -> bool:
    width = min(left[2], right[2]) - max(left[0], right[0])
    height = min(left[3], right[3]) - max(left[1], right[1])
    inner = max(0.0, width) * max(0.0, height)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (left, right)) - inner
    hull = (max(left[2], right[2]) - min(left[0], right[0])) * (
        max(left[3], right[3]) - min(left[1], right[1])
    )
    return inner > SAME * areas or hull < (1 + GROWN) * areas


def _sorted(regions: list[PageRegion]) -> tuple[PageRegion, ...]:
    return tuple(sorted(regions, key=lambda one: (-one.score, one.box[1], one.box[0])))
