"""Decoded pictures as upright RGB of square pixels: display matrix, sample aspect ratio, high
dynamic range, interlaced fields.
"""

import math
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from av.sidedata.sidedata import Type as SideData

from stream.frame import Image

Floats = npt.NDArray[np.float32]

PQ, HLG = 16, 18  # transfer characteristics, ITU-T H.273 table 3
BT2020 = 9  # colour primaries, ITU-T H.273 table 2
TO_BT709 = np.array(  # linear light, ITU-R BT.2087
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]],
    np.float32,
)
WHITE_NITS, HLG_PEAK_NITS = 203.0, 1000.0  # diffuse white and HLG's peak, ITU-R BT.2408
SDR_GAMMA = 2.4  # ITU-R BT.1886
KNEE = 0.9  # of white: light above it is compressed
ASPECTS = Fraction(1, 4), Fraction(4)  # of a pixel; a header that says more says nothing
STEPS = 4096  # of the curves' tables
COMB = 100  # product of a row's steps from its neighbours, from which it is of another field


def to_rgb(picture: Any, aspect: Fraction | None = None) -> Image:
    """av.VideoFrame -> upright RGB [H, W, 3] uint8.

    `aspect` is a pixel's width by its height, before it is turned; None or 0: not known, square.
    HLG and PQ are mapped to standard dynamic range, combs of interlaced pictures are smoothed.
    """
    curve = CURVES.get(int(picture.color_trc or 0))
    image = picture.to_ndarray(format="rgb24") if curve is None else _standard(picture, curve)
    if picture.interlaced_frame:
        image = _without_combs(image)
    return np.ascontiguousarray(_upright(_square(image, aspect), picture))


def pixel_aspect(stream: Any) -> Fraction | None:
    """Of an av.VideoStream: its container's word, else its codec's; None where neither says."""
    told = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
    return Fraction(told) if told else None


def _square(image: Image, aspect: Fraction | None) -> Image:
    """Stretched along the shorter side of its pixels: no line of the picture is lost."""
    if not aspect or aspect == 1 or not ASPECTS[0] <= aspect <= ASPECTS[1]:
        return image
    height, width = image.shape[:2]
    size = (round(width * aspect), height) if aspect > 1 else (width, round(height / aspect))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), np.uint8)


def _upright(image: Image, picture: Any) -> Image:
    """Turned and mirrored as the display matrix says: x' = a x + c y, y' = b x + d y."""
    data = picture.side_data.get(SideData.DISPLAYMATRIX)
    if data is None:
        return image
    a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5]
    if abs(b) > abs(a):  # a quarter turn
        image, a, d = image.transpose(1, 0, 2), c, b
    return image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]


def _without_combs(image: Image) -> Image:
    """Rows of the second field that differ from both neighbours alike take their mean."""
    rows = image[: image.shape[0] - 1 + image.shape[0] % 2].astype(np.int16)
    above, row, below = rows[:-2:2], rows[1:-1:2], rows[2::2]
    combed = (((row - above).astype(np.int32) * (row - below)) > COMB).any(axis=2)
    out = image.copy()
    out[1 : 2 * len(row) : 2][combed] = ((above + below) // 2)[combed]
    return out


def _standard(picture: Any, curve: Callable[[], Floats]) -> Image:
    """High dynamic range -> [H, W, 3] uint8: light, primaries, highlights, gamma."""
    light = curve()[picture.to_ndarray(format="rgb48le") // (65536 // STEPS)]
    if int(picture.color_trc) == HLG:
        brightness = light @ np.array([0.2627, 0.678, 0.0593], np.float32)
        light *= cv2.pow(brightness, 0.2)[..., None]  # from the scene's light to a display's
    light *= np.float32((HLG_PEAK_NITS if int(picture.color_trc) == HLG else 1) / WHITE_NITS)
    if int(picture.color_primaries or 0) == BT2020:
        light = cv2.transform(light, TO_BT709)
    over = np.maximum(light - KNEE, 0)
    mapped = np.minimum(light, KNEE) + (1 - KNEE) * (1 - np.exp(-over / (1 - KNEE)))
    shown = cv2.pow(np.maximum(mapped, 0).astype(np.float32), 1 / SDR_GAMMA)
    return np.asarray(np.rint(255 * shown), np.uint8)


@lru_cache(maxsize=1)
def _hlg() -> Floats:
    """Signal -> the scene's light, 0..1 (ITU-R BT.2100 table 5)."""
    signal = np.linspace(0, 1, STEPS)
    a = 0.17883277
    b, c = 1 - 4 * a, 0.5 - a * math.log(4 * a)
    light = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    return light.astype(np.float32)


@lru_cache(maxsize=1)
def _pq() -> Floats:
    """Signal -> a display's light in nits (ITU-R BT.2100 table 4)."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    root = np.linspace(0, 1, STEPS) ** (1 / m2)
    light = 10_000 * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)
    return light.astype(np.float32)


CURVES = {PQ: _pq, HLG: _hlg}
