"""The colours of a region, in the words that people use."""

import cv2
import numpy as np
import numpy.typing as npt

from stream.frame import Image, Mask

EDGE_SHARE = 0.04  # of a region's size that is taken off its edge, where colours mix
MIN_SHARE = 0.25  # of the pixels that a second colour needs to be named
DARK, PALE, BRIGHT = 0.2, 0.16, 0.78  # value that is black; saturation without hue; value of white
# Degrees of hue up to which a name holds.
HUES = (
    (18, "red"), (42, "orange"), (68, "yellow"), (165, "green"), (192, "turquoise"),
    (255, "blue"), (295, "purple"), (340, "pink"), (361, "red"),
)  # fmt: skip


def colours_of(image: Image, mask: Mask, count: int = 2) -> tuple[str, ...]:
    """[H, W, 3] RGB and a mask of it -> its colours, the most frequent first; at least one.

    Raises ValueError when the mask is empty.
    """
    pixels = image[_inner(mask)]
    if not len(pixels):
        raise ValueError("expected a mask with at least one pixel, got an empty one")
    names, counts = np.unique(_names(pixels), return_counts=True)
    order = np.argsort(-counts, kind="stable")[:count]
    return tuple(
        str(names[n])
        for rank, n in enumerate(order)
        if not rank or counts[n] >= MIN_SHARE * len(pixels)
    )


def _inner(mask: Mask) -> Mask:
    """The mask without its edge, where something is left of it."""
    side = max(1, int(EDGE_SHARE * np.sqrt(mask.sum())))
    kernel = np.ones((2 * side + 1, 2 * side + 1), np.uint8)
    inner = cv2.erode(mask.astype(np.uint8), kernel).astype(bool)
    return inner if inner.any() else mask


def _names(pixels: Image) -> npt.NDArray[np.str_]:
    """[N, 3] RGB -> [N] colour names."""
    hsv = cv2.cvtColor(pixels[None].astype(np.float32) / 255, cv2.COLOR_RGB2HSV)[0]
    hue, saturation, value = hsv.T
    named = np.array([name for _, name in HUES], dtype="<U9")
    found: npt.NDArray[np.str_] = named[
        np.searchsorted([end for end, _ in HUES], hue, side="right").clip(0, len(HUES) - 1)
    ]
    warm = (hue >= 18) & (hue < 68)
    # Dark or dull orange is brown; pale red is pink.
    found[(hue >= 8) & (hue < 48) & ((value < 0.6) | ((saturation < 0.6) & (value < 0.8)))] = (
        "brown"
    )
    found[warm & (saturation < 0.4) & (value >= 0.6)] = "beige"
    found[((hue < 18) | (hue >= 340)) & (saturation < 0.5) & (value > 0.7)] = "pink"
    pale = saturation < PALE
    found[pale] = "grey"
    found[pale & (value >= BRIGHT)] = "white"
    found[(value < DARK) | (pale & (value < 0.28))] = "black"
    return found
