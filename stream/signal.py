"""What keyframes are decided on: a small description of each frame and distances between them.

Two views of change are multiplied, because each alone is fooled: pixel differences by a moving
camera, colour histograms by exposure and by scenes of like colours. A cut changes both.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from stream.frame import Image

SIDE = 64  # pixels of the small picture
SHAPE_SIDE = 16  # of the picture whose layout drift is measured on
LEVELS = 6  # histogram bins per colour channel
PIXELS = SIDE * SIDE
HUE_TURN = 180  # OpenCV's hue runs 0..179

Thumbnail = npt.NDArray[np.uint8]  # [SIDE, SIDE, 3] RGB
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """One frame, described in 14 KB."""

    hue: npt.NDArray[np.uint8]  # [SIDE, SIDE] half degrees
    saturation: npt.NDArray[np.uint8]  # [SIDE, SIDE]
    brightness: npt.NDArray[np.uint8]  # [SIDE, SIDE]
    colours: Floats  # [LEVELS ** 3] square root of the RGB histogram, unit length
    layout: Floats  # [SHAPE_SIDE ** 2] brightness, mean-free, unit length (or zero)


def thumbnail(image: Image) -> Thumbnail:
    """Shrink a [H, W, 3] uint8 RGB frame to SIDE x SIDE.

    Bilinear samples on a grid of twice the side, then area averaging: the cost does not grow with
    the frame, and 16 of its pixels count in each small one.
    """
    grid = cv2.resize(image, (2 * SIDE, 2 * SIDE), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.resize(grid, (SIDE, SIDE), interpolation=cv2.INTER_AREA))


def look(image: Image) -> Look:
    """Describe a [H, W, 3] uint8 RGB frame of any size."""
    small = thumbnail(image)
    hue, saturation, brightness = cv2.split(cv2.cvtColor(small, cv2.COLOR_RGB2HSV))
    counts = cv2.calcHist([small], [0, 1, 2], None, [LEVELS] * 3, [0, 256] * 3)
    colours = np.sqrt(counts.ravel() * np.float32(1 / PIXELS))
    shape = cv2.resize(brightness, (SHAPE_SIDE, SHAPE_SIDE), interpolation=cv2.INTER_AREA)
    return Look(hue, saturation, brightness, colours, unit(shape.ravel().astype(np.float32)))


def unit(vector: Floats) -> Floats:
    """The vector without its mean, at unit length; zero where it is flat."""
    free = vector - vector.mean()
    length = math.sqrt(float(free @ free))
    return free * np.float32(1 / length) if length > 1e-3 else np.zeros_like(free)


def distance(left: Look, right: Look) -> float:
    """Novelty, 0..1: geometric mean of the pixels' and the colour histograms' distance."""
    return math.sqrt(pixel_distance(left, right) * colour_distance(left, right))


def pixel_distance(left: Look, right: Look) -> float:
    """Mean absolute HSV difference, 0..1; hue is circular and counts by saturation."""
    turned = cv2.absdiff(left.hue, right.hue)
    turned = cv2.min(turned, cv2.subtract(HUE_TURN, turned))  # 0..90
    weight = cv2.min(left.saturation, right.saturation)
    hue = float(turned.ravel().dot(weight.ravel().astype(np.float32))) / (HUE_TURN / 2)
    saturation = cv2.norm(left.saturation, right.saturation, cv2.NORM_L1)
    brightness = cv2.norm(left.brightness, right.brightness, cv2.NORM_L1)
    return float(hue + saturation + brightness) / (3 * 255 * PIXELS)


def colour_distance(left: Look, right: Look) -> float:
    """Squared Hellinger distance of the colour histograms, 0..1."""
    return min(1.0, max(0.0, 1.0 - float(left.colours @ right.colours)))


def drift(anchor: Floats, layout: Floats) -> float:
    """(1 - correlation) / 2 of two unit layouts: 0 for the same picture, 0.5 for unrelated.

    Insensitive to exposure, which scales and shifts brightness. A flat picture (black, fog)
    has no layout; it is unrelated to one that has, and the same as another flat one.
    """
    if not anchor.any() or not layout.any():
        return 0.5 if anchor.any() or layout.any() else 0.0
    return min(1.0, max(0.0, (1.0 - float(anchor @ layout)) / 2))
