"""How far the picture moved between a keyframe that was read and the frame that was asked about.

A model's boxes lie in the picture that it saw. The wearer's head turns a little until the question
comes; phase correlation (Kuglin and Hines, 1975; OpenCV's phaseCorrelate) finds by how much.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from reasoning.vlm.coordinates import SCALE
from stream.frame import Image

SIDE = 128  # pixels of the small grey pictures that are compared
MIN_RESPONSE = 0.12  # share of the correlation in its peak; other scenes give less

Shift = tuple[float, float]  # thousandths of the width and of the height
STILL: Shift = (0.0, 0.0)


def drift(before: Image, now: Image) -> Shift:
    """How far what is in one picture lies from there in another; STILL where they do not agree."""
    window = cv2.createHanningWindow((SIDE, SIDE), cv2.CV_32F)
    (across, down), response = cv2.phaseCorrelate(_small(before), _small(now), window)
    if response < MIN_RESPONSE:
        return STILL
    return across / SIDE * SCALE, down / SIDE * SCALE


def moved(place: Sequence[float], shift: Shift) -> tuple[float, ...]:
    """A point or a box in thousandths, further on by a shift, inside the picture."""
    return tuple(min(float(SCALE), max(0.0, v + shift[n % 2])) for n, v in enumerate(place))


def _small(image: Image) -> np.ndarray:
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    small: np.ndarray = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32)
