"""Sharpen soft masks to the picture's edges with a guided filter (He, Sun & Tang, 2010)."""

import cv2
import numpy as np
import numpy.typing as npt

from stream.frame import Image

Soft = npt.NDArray[np.float32]  # [H, W], 0..1

GUIDE_ROWS = 256  # the filter runs at this height
RADIUS = 6  # pixels at that height
EPSILON = 1e-3  # edge contrast, in squared brightness, that survives


def make_guide(image: Image) -> Soft:
    """[H, W, 3] uint8 -> small grey guide, 0..1."""
    rows, cols = image.shape[:2]
    width = max(1, round(cols * GUIDE_ROWS / rows))
    small = cv2.resize(image, (width, GUIDE_ROWS), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    return np.asarray(grey / np.float32(255), dtype=np.float32)


def sharpen(soft: Soft, guide: Soft) -> Soft:
    """[h, w] coarse soft mask -> the guide's size, with the guide's edges."""
    height, width = guide.shape
    grown = cv2.resize(soft, (width, height), interpolation=cv2.INTER_CUBIC)
    p = np.asarray(grown, dtype=np.float32)
    mean_i, mean_p = _box(guide), _box(p)
    covariance = _box(guide * p) - mean_i * mean_p
    variance = _box(guide * guide) - mean_i * mean_i
    slope = covariance / (variance + EPSILON)
    offset = mean_p - slope * mean_i
    sharp = _box(slope) * guide + _box(offset)
    return np.asarray(np.clip(sharp, 0, 1), dtype=np.float32)


def _box(values: npt.NDArray[np.floating]) -> Soft:
    side = 2 * RADIUS + 1
    return np.asarray(cv2.blur(values, (side, side)), dtype=np.float32)
