"""Pictures made ready for the backbone: pure functions."""

import cv2
import numpy as np

from stream.crops import GREY
from stream.frame import Image, Mask
from stream.geometry import mask_box

CROP_PADDING = 0.1  # of the box, on each side
MIN_SIDE = 32
MAX_ASPECT = 4  # a wider frame is squeezed, so that one odd picture cannot stall the stream


def shrink(image: Image, size: tuple[int, int]) -> Image:
    """[H, W, 3] uint8 to `size` (width, height), averaged over what each pixel covers.

    Halving is a fast path of OpenCV: done first it saves nine tenths of the time, and what is left
    to do (a factor below two) needs no averaging.
    """
    height, width = image.shape[:2]
    method = cv2.INTER_AREA
    while width >= 2 * size[0] and height >= 2 * size[1]:
        width, height = width // 2, height // 2
        image = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))
        method = cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size, interpolation=method), np.uint8)


def to_rows(image: Image, height: int) -> Image:
    """Resize to `height` rows, keeping the aspect as near as sides of a multiple of 32 allow."""
    rows, cols = image.shape[:2]
    width = max(MIN_SIDE, round(cols * height / rows / MIN_SIDE) * MIN_SIDE)
    return shrink(image, (min(width, MAX_ASPECT * height), height))


def blanked(image: Image, mask: Mask | None) -> Image:
    """A mask's padded box with the background set to grey; the whole picture without a mask."""
    box = mask_box(mask) if mask is not None else None
    if mask is None or box is None:
        return image
    x0, y0, x1, y1 = box
    pad_x, pad_y = round((x1 - x0) * CROP_PADDING), round((y1 - y0) * CROP_PADDING)
    rows = slice(max(0, y0 - pad_y), y1 + pad_y)
    cols = slice(max(0, x0 - pad_x), x1 + pad_x)
    return np.where(mask[rows, cols, None], image[rows, cols], np.uint8(GREY)).astype(np.uint8)
