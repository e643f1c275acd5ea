"""What keyframes are decided on: a small HSV picture of each frame and distances between them."""

import cv2
import numpy as np
import numpy.typing as npt

from stream.frame import Image

SIDE = 64  # pixels of the small picture
Thumbnail = npt.NDArray[np.float32]  # [SIDE, SIDE, 3] HSV, each channel 0..1, hue on a half circle

_SCALE = np.array([1 / 180, 1 / 255, 1 / 255], np.float32)


def thumbnail(image: Image) -> Thumbnail:
    """Shrink a [H, W, 3] uint8 RGB frame and turn it into HSV.

    Nearest sampling on a 4x grid first, then area averaging: the cost does not grow with the frame.
    """
    small = image
    step = min(image.shape[:2]) // (4 * SIDE)
    if step > 1:
        small = np.ascontiguousarray(image[::step, ::step])
    small = cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    hsv = cv2.cvtColor(small, cv2.COLOR_RGB2HSV)
    return np.asarray(hsv * _SCALE, dtype=np.float32)


def distance(left: Thumbnail, right: Thumbnail) -> float:
    """Mean absolute HSV difference, 0..1; hue is circular and counts by saturation."""
    delta = np.abs(left - right)
    hue = np.minimum(delta[..., 0], 1 - delta[..., 0]) * 2
    hue = hue * np.minimum(left[..., 1], right[..., 1])
    return float((hue.mean() + delta[..., 1].mean() + delta[..., 2].mean()) / 3)


def drift(left: Thumbnail, right: Thumbnail) -> float:
    """1 - cosine of the mean-free brightness, halved: 0 for the same picture, 0.5 for unrelated.

    Insensitive to exposure, which scales and shifts brightness.
    """
    a, b = left[..., 2] - left[..., 2].mean(), right[..., 2] - right[..., 2].mean()
    scale = float(np.linalg.norm(a) * np.linalg.norm(b))
    if scale < 1e-6:
        return 0.0
    return float(np.clip((1 - float((a * b).sum()) / scale) / 2, 0, 1))
