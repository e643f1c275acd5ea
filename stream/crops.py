"""The views of a region that a classifier looks at: pure functions."""

import cv2
import numpy as np

from stream.errors import QueryError
from stream.frame import Image, Mask
from stream.geometry import Box, mask_box

Colour = tuple[int, int, int]  # RGB, 0..255

VIEW_PADDING = 0.1  # of the box's longer side, on each side
GREY = 127  # what the background is set to: zero after the backbone's normalisation


def region_views(image: Image, mask: Mask, fill: Colour = (GREY, GREY, GREY)) -> list[Image]:
    """The views of a region: its padded square with the background set to `fill`, and as it is.

    Squares keep the region's proportions: the backbone squeezes what it gets into a square, which
    costs a tall or wide box a fifth of its top-1 (docs/log.md). Raises QueryError for an
    empty mask.
    """
    box = mask_box(mask)
    if box is None:
        raise QueryError("expected a region with at least one pixel, got an empty mask")
    rows, cols = square_around(box)
    plain = np.ascontiguousarray(image[rows, cols])
    blanked = np.empty_like(plain)
    blanked[:] = fill
    cv2.copyTo(plain, np.ascontiguousarray(mask[rows, cols]).view(np.uint8), blanked)
    return [blanked, plain]


def square_around(box: Box, padding: float = VIEW_PADDING) -> tuple[slice, slice]:
    """Rows and columns of the padded square around a box; the picture's edge may cut it."""
    half = max(box[2] - box[0], box[3] - box[1]) * (0.5 + padding)
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    rows = slice(max(0, round(y - half)), max(1, round(y + half)))
    return rows, slice(max(0, round(x - half)), max(1, round(x + half)))
