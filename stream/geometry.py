"""Masks as run-length codes, their parts and innermost points, boxes and overlaps: pure functions.

The run-length code is COCO's uncompressed form: column-major runs that start with background.
"""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from stream.errors import PromptError
from stream.frame import Mask

Box = tuple[int, int, int, int]  # x0, y0, x1, y1 in pixels, x1 and y1 exclusive
FloatBox = tuple[float, float, float, float]  # the same in any unit
Boxes = npt.NDArray[np.float32]  # [N, 4] x0, y0, x1, y1
Point = tuple[int, int]  # x, y in pixels


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


def share_inside(mask: Mask, other: Mask) -> float:
    """Which share of a [H, W] mask lies inside another, 0..1."""
    area = int(np.count_nonzero(mask))
    return int(np.count_nonzero(mask & other)) / area if area else 0.0


def inner_point(mask: Mask) -> Point:
    """x, y of the pixel of a [H, W] mask that is farthest from its edge.

    The frame's edge counts as one. Raises PromptError when the mask is empty.
    """
    if not mask.any():
        raise PromptError("expected a mask with at least one pixel, got an empty one")
    padded = np.pad(mask.astype(np.uint8), 1)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return int(column), int(row)


def components(
    mask: npt.NDArray[np.generic], connectivity: Literal[4, 8] = 8
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Connected parts of a [H, W] mask: [H, W] labels, 0 outside it, and each label's pixels."""
    shown = mask.astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(shown, connectivity=connectivity)
    return np.asarray(labels, np.int32), np.asarray(stats[:, cv2.CC_STAT_AREA], np.int32)


def box_iou(left: FloatBox, right: FloatBox | None) -> float:
    """Intersection over union of two boxes, 0.0 when they do not meet or one is not there."""
    if right is None:
        return 0.0
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


def box_intersections(boxes: Boxes, others: Boxes) -> npt.NDArray[np.float32]:
    """[N, 4], [M, 4] -> [N, M] areas of where they meet."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return np.asarray(np.clip(high - low, 0, None).prod(axis=-1), np.float32)


def box_areas(boxes: Boxes) -> npt.NDArray[np.float32]:
    """[N, 4] -> [N]."""
    return np.asarray(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=-1), np.float32)


def box_ious(boxes: Boxes, others: Boxes) -> npt.NDArray[np.float32]:
    """[N, 4], [M, 4] -> [N, M] intersection over union."""
    shared = box_intersections(boxes, others)
    union = box_areas(boxes)[:, None] + box_areas(others) - shared
    return np.asarray(shared / np.maximum(union, 1e-6), np.float32)


def overlap_slices(one: Box, two: Box) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where two boxes meet, as rows and columns of each; empty slices where they do not."""
    x0, y0 = max(one[0], two[0]), max(one[1], two[1])
    x1, y1 = max(x0, min(one[2], two[2])), max(y0, min(one[3], two[3]))
    return (
        (slice(y0 - one[1], y1 - one[1]), slice(x0 - one[0], x1 - one[0])),
        (slice(y0 - two[1], y1 - two[1]), slice(x0 - two[0], x1 - two[0])),
    )
