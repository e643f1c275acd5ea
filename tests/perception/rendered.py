"""Clips rendered from scikit-image's photographs: exact masks, no data folder needed."""

from dataclasses import dataclass

import cv2
import numpy as np
from skimage import data

from stream.frame import Frame, Image, Mask

SIZE = (144, 256)  # height, width of a rendered frame
Place = tuple[float, float]  # column, row of an object's centre


@dataclass(frozen=True, slots=True, eq=False)
class Sprite:
    """A cut-out to move over a background."""

    image: Image  # [h, w, 3]
    mask: Mask  # [h, w]


def background(shift: int = 0) -> Image:
    """A still life of SIZE, moved by whole pixels as a slow camera would."""
    full = cv2.resize(data.coffee(), (320, 208), interpolation=cv2.INTER_AREA)
    row, col = 32, 20 + shift
    return np.ascontiguousarray(full[row : row + SIZE[0], col : col + SIZE[1]])


def face() -> Sprite:
    """The astronaut's head, an ellipse."""
    return _ellipse(data.astronaut()[20:200, 150:290], (52, 66))


def cat() -> Sprite:
    """The cat's head, an ellipse."""
    return _ellipse(data.chelsea()[30:250, 60:330], (66, 54))


def compose(
    sprites: tuple[Sprite, ...], places: tuple[Place, ...], pts_ns: int, shift: int = 0
) -> tuple[Frame, tuple[Mask, ...]]:
    """Paste sprites in order at their places; masks are what stays visible of each."""
    canvas = background(shift)
    masks: list[Mask] = []
    for sprite, place in zip(sprites, places, strict=True):
        layer, inside = _paste(sprite, place)
        canvas[inside] = layer[inside]
        masks = [mask & ~inside for mask in masks]
        masks.append(inside)
    return Frame(pts_ns, pts_ns, canvas, "rendered"), tuple(masks)


def _ellipse(crop: Image, size: tuple[int, int]) -> Sprite:
    width, height = size
    image = np.asarray(cv2.resize(crop, size, interpolation=cv2.INTER_AREA), np.uint8)
    rows, cols = np.mgrid[:height, :width]
    x, y = (cols - width / 2 + 0.5) / (width / 2), (rows - height / 2 + 0.5) / (height / 2)
    return Sprite(image, x * x + y * y <= 1)


def _paste(sprite: Sprite, place: Place) -> tuple[Image, Mask]:
    height, width = sprite.mask.shape
    left, top = round(place[0] - width / 2), round(place[1] - height / 2)
    layer = np.zeros((*SIZE, 3), np.uint8)
    inside = np.zeros(SIZE, bool)
    y0, y1 = max(0, top), min(SIZE[0], top + height)
    x0, x1 = max(0, left), min(SIZE[1], left + width)
    if y0 < y1 and x0 < x1:
        cut = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
        layer[y0:y1, x0:x1] = sprite.image[cut]
        inside[y0:y1, x0:x1] = sprite.mask[cut]
    return layer, inside
