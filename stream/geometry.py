"""Masks as run-length codes, boxes and overlaps: pure functions.

The run-length code is COCO's uncompressed form: column-major runs that start with background.
"""

from dataclasses import dataclass

import numpy as np

from stream.errors import PromptError
from stream.frame import Mask

Box = tuple[int, int, int, int]  # x0, y0, x1, y1 in pixels, x1 and y1 exclusive


@dataclass(frozen=True, slots=True)
class Rle:
    """A binary mask as COCO uncompressed RLE; raises PromptError when the runs do not fill it."""

    size: tuple[int, int]  # height, width
    counts: tuple[int, ...]  # column-major run lengths, background first

    def __post_init__(self) -> None:
        pixels = self.size[0] * self.size[1]
        if any(run < 0 for run in self.counts) or sum(self.counts) != pixels:
            raise PromptError(
                f"expected non-negative runs that sum to {pixels} for size {self.size}, "
                f"got a sum of {sum(self.counts)}"
            )

    @property
    def area(self) -> int:
        """Foreground pixels."""
        return sum(self.counts[1::2])

    def as_json(self) -> dict[str, list[int]]:
        """COCO's {"size", "counts"} object."""
        return {"size": list(self.size), "counts": list(self.counts)}


def encode_mask(mask: Mask) -> Rle:
    """[H, W] bool -> Rle."""
    flat = np.asarray(mask, dtype=bool).ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    bounds = np.concatenate(([0], edges, [flat.size]))
    runs = np.diff(bounds).tolist()
    if flat.size and flat[0]:
        runs.insert(0, 0)
    height, width = mask.shape
    return Rle((int(height), int(width)), tuple(int(run) for run in runs))


def encode_part(part: Mask, corner: tuple[int, int], size: tuple[int, int]) -> Rle:
    """A [h, w] bool part of a [H, W] mask of `size` with nothing outside it, as encode_mask does.

    `corner` is the part's x, y in the mask. Costs what the part costs, not what the mask does.
    """
    x, y = corner
    height, width = size
    rows, columns = part.shape
    flat = np.zeros((columns, rows + 1), bool)  # a column ends in what is not in the mask
    flat[:, :rows] = part.T
    flat = flat.reshape(-1)
    column, row = np.divmod(np.flatnonzero(flat[1:] != flat[:-1]) + 1, rows + 1)
    if flat[:1].any():
        column, row = np.concatenate(([0], column)), np.concatenate(([0], row))
    edges = (x + column) * height + y + row
    # Where one column ends in the mask and the next begins in it, there is no edge.
    twice = np.flatnonzero(edges[1:] == edges[:-1])
    edges = np.delete(edges, np.concatenate((twice, twice + 1)))
    bounds = np.concatenate(([0], edges, [height * width]))
    runs = np.diff(bounds).tolist()
    if len(runs) > 1 and runs[-1] == 0:
        runs.pop()
    return Rle((height, width), tuple(int(run) for run in runs))


def decode_mask(rle: Rle) -> Mask:
    """Rle -> [H, W] bool."""
    values = np.arange(len(rle.counts)) % 2 == 1
    return np.repeat(values, rle.counts).reshape(rle.size, order="F")


def mask_box(mask: Mask) -> Box | None:
    """Tight box of the foreground, or None for an empty mask."""
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return None
    return int(cols[0]), int(rows[0]), int(cols[-1]) + 1, int(rows[-1]) + 1


def mask_iou(left: Mask, right: Mask) -> float:
    """Intersection over union of two [H, W] masks; 1.0 when both are empty (DAVIS' convention)."""
    union = int(np.logical_or(left, right).sum())
    return int(np.logical_and(left, right).sum()) / union if union else 1.0


def box_iou(left: Box, right: Box) -> float:
    """Intersection over union of two boxes, 0.0 when they do not meet."""
    width = min(left[2], right[2]) - max(left[0], right[0])
    height = min(left[3], right[3]) - max(left[1], right[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (left, right)]
    return width * height / (sum(areas) - width * height)


def clip_box(box: Box, height: int, width: int) -> Box:
    """Clip to the picture; raises PromptError when nothing is left."""
    x0, y0, x1, y1 = max(0, box[0]), max(0, box[1]), min(width, box[2]), min(height, box[3])
    if x1 <= x0 or y1 <= y0:
        raise PromptError(
            f"expected a box x0,y0,x1,y1 that meets the {width}x{height} frame, got {box}"
        )
    return x0, y0, x1, y1
