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

SAMPLES = 64  # a frame is sampled on a grid of SAMPLES x SAMPLES pixels
SIDE = 32  # of the small picture that pixels are compared on
LAYOUT_SIDE = 16  # of the picture whose layout drift is measured on
LEVELS = 8  # histogram bins per colour channel

Thumbnail = npt.NDArray[np.uint8]  # [SIDE, SIDE, 3] RGB in logarithmic tones
Floats = npt.NDArray[np.float32]

# Logarithmic tones: a dark room spreads over more histogram bins, yet a fade from black stays slow.
_TONES = np.round(255 * np.log1p(4 * np.arange(256) / 255) / math.log(5)).astype(np.uint8)
_CHANNELS, _BINS, _RANGES = [0, 1, 2], [LEVELS] * 3, [0, 256] * 3
_PIXEL_SCALE = 1 / (255 * 3 * SIDE * SIDE)
_COUNT_SCALE = np.float32(1 / SAMPLES)  # of a square-rooted count
_LAYOUT_SCALE = np.float32(1 / LAYOUT_SIDE**2)
_FLAT = 2.0 * LAYOUT_SIDE  # length of a layout whose brightness varies by 2 levels of 255
FLAT_LENGTH = 0.99  # a unit layout that is shorter varies by less


@dataclass(frozen=True, slots=True, eq=False)
class FrameDescriptor:
    """One frame, described in 6 KB."""

    small: Thumbnail
    colours: Floats  # [LEVELS ** 3] square root of the colour histogram, unit length
    layout: Floats  # [LAYOUT_SIDE ** 2] brightness, mean-free, unit length (shorter if nearly flat)

    @property
    def flat(self) -> bool:
        """Whether there is nothing to see: no place is brighter than another."""
        return float(self.layout.dot(self.layout)) < FLAT_LENGTH**2


def describe(image: Image) -> FrameDescriptor:
    """Describe a [H, W, 3] uint8 RGB frame of any size, at a cost that does not grow with it."""
    grid = cv2.resize(image, (SAMPLES, SAMPLES), interpolation=cv2.INTER_NEAREST)
    grid = cv2.LUT(grid, _TONES)
    counts = cv2.calcHist([grid], _CHANNELS, None, _BINS, _RANGES)
    small = cv2.resize(grid, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    tiny = cv2.resize(small, (LAYOUT_SIDE, LAYOUT_SIDE), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(tiny, cv2.COLOR_RGB2GRAY).ravel().astype(np.float32)
    return FrameDescriptor(small, np.sqrt(counts.ravel()) * _COUNT_SCALE, unit(grey))


def unit(vector: Floats) -> Floats:
    """The vector of LAYOUT_SIDE ** 2 brightnesses (0..255) without its mean, at unit length.

    A nearly flat picture (black, fog) gets less, down to zero: its layout is only noise.
    """
    free: Floats = vector - np.add.reduce(vector) * _LAYOUT_SCALE
    free *= np.float32(1 / max(math.sqrt(free.dot(free)), _FLAT))
    return free


def distance(left: FrameDescriptor, right: FrameDescriptor) -> float:
    """Novelty, 0..1: geometric mean of the pixels' and the colour histograms' distance.

    Pixels: mean absolute RGB difference. Colours: squared Hellinger distance.
    """
    colours = 1.0 - float(left.colours.dot(right.colours))
    if colours <= 0.0:
        return 0.0
    pixels = cv2.norm(left.small, right.small, cv2.NORM_L1) * _PIXEL_SCALE
    return math.sqrt(pixels * colours)


def drift(anchor: Floats, layout: Floats) -> float:
    """(1 - correlation) / 2 of two layouts: 0 for the same picture, 0.5 for unrelated.

    Insensitive to exposure, which scales and shifts brightness. A flat picture is unrelated to
    one that is not, and the same as another flat one.
    """
    most = max(float(anchor.dot(anchor)), float(layout.dot(layout)))
    return min(1.0, max(0.0, (most - float(anchor.dot(layout))) / 2))
