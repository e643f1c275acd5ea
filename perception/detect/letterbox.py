"""A picture fitted into a square with grey bars, and boxes brought back from it: pure functions."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from perception.features.preprocess import shrink
from stream.crops import GREY
from stream.frame import Image
from stream.geometry import Box, Boxes, box_ious


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Where a picture of `size` lies in the square."""

    size: tuple[int, int]  # height, width of the picture
    scale: float  # square's pixels per picture's pixel
    left: int
    top: int

    def back(self, boxes: Boxes) -> Boxes:
        """[N, 4] in the square -> in the picture, cut to it."""
        height, width = self.size
        corner = np.array([self.left, self.top] * 2, np.float32)
        limit = np.array([width, height] * 2, np.float32)
        return np.asarray(np.clip((boxes - corner) / self.scale, 0, limit), np.float32)


def letterboxed(image: Image, side: int) -> tuple[Image, Letterbox]:
    """[H, W, 3] uint8 -> [side, side, 3] in the same proportions."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    rows, cols = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = (side - rows) // 2, (side - cols) // 2
    canvas = np.full((side, side, 3), GREY, np.uint8)
    canvas[top : top + rows, left : left + cols] = shrink(image, (cols, rows))
    return canvas, Letterbox((height, width), scale, left, top)


def suppress(boxes: Boxes, scores: npt.NDArray[np.float32], iou: float) -> list[int]:
    """Indices that stay, surest first: each overlaps no surer one by more than `iou`."""
    kept: list[int] = []
    for index in np.argsort(-scores, kind="stable").tolist():
        if not kept or float(box_ious(boxes[[index]], boxes[kept]).max()) <= iou:
            kept.append(index)
    return kept


def whole_pixels(box: npt.NDArray[np.float32], size: tuple[int, int]) -> Box | None:
    """[4] -> the pixels it covers in a picture of (height, width); None for less than one."""
    height, width = size
    x0, y0 = max(0, int(np.floor(box[0]))), max(0, int(np.floor(box[1])))
    x1, y1 = min(width, int(np.ceil(box[2]))), min(height, int(np.ceil(box[3])))
    return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None
