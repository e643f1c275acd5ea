"""Square windows around an object: crop pictures and soft masks in and out of them.

A window is a rectangle of the frame in units of the frame's own height and width (0..1), sampled
with ROI x ROI pixels, so that small and large objects are refined at the same cost.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from stream.frame import Image, SoftMask
from stream.geometry import Box, mask_box

LEVEL = 0.5  # soft mask that counts as the object
ROI = 128  # pixels on a side
CELLS = 32  # feature cells on a side, as the head sees them
GROW = 1.5  # of the object's box
MIN_SIDE = 0.08  # of the frame


@dataclass(frozen=True, slots=True)
class RoiWindow:
    """A rectangle of the frame, 0..1; may reach past its border."""

    x0: float
    y0: float
    x1: float
    y1: float


def window_around(soft: SoftMask, level: float) -> RoiWindow | None:
    """The grown box of what reaches `level` in a whole-frame map [h, w]; None for nothing."""
    box = mask_box(soft >= level)
    if box is None:
        return None
    height, width = soft.shape
    x0, x1, y0, y1 = box[0] / width, box[2] / width, box[1] / height, box[3] / height
    half_x = max(MIN_SIDE, GROW * (x1 - x0)) / 2
    half_y = max(MIN_SIDE, GROW * (y1 - y0)) / 2
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    low, high = (max(x - half_x, -0.02), max(y - half_y, -0.02)), (x + half_x, y + half_y)
    return RoiWindow(*low, min(high[0], 1.02), min(high[1], 1.02))


def crop(maps: npt.NDArray[np.generic], window: RoiWindow) -> npt.NDArray[np.float32]:
    """Sample a whole-frame map [h, w(, c)] into [ROI, ROI(, c)] float32; edges are repeated."""
    height, width = maps.shape[:2]
    x0, x1 = window.x0 * width, window.x1 * width
    y0, y1 = window.y0 * height, window.y1 * height
    step = max((x1 - x0) / ROI, (y1 - y0) / ROI)
    if step > 2:  # plain sampling would alias
        left, top = max(0, int(x0)), max(0, int(y0))
        part = maps[top : max(top + 1, int(np.ceil(y1))), left : max(left + 1, int(np.ceil(x1)))]
        rows, cols = part.shape[:2]
        size = (max(1, round(2 * cols / step)), max(1, round(2 * rows / step)))
        part = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
        sx, sy = size[0] / cols, size[1] / rows
        x0, x1, y0, y1 = (x0 - left) * sx, (x1 - left) * sx, (y0 - top) * sy, (y1 - top) * sy
    else:
        part = maps
    step_x, step_y = (x1 - x0) / ROI, (y1 - y0) / ROI  # output pixel centre -> input pixel centre
    matrix = np.array([[step_x, 0, x0 + 0.5 * step_x - 0.5], [0, step_y, y0 + 0.5 * step_y - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    out = cv2.warpAffine(part, matrix, (ROI, ROI), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(out, dtype=np.float32)


def sample_cells(maps: torch.Tensor, windows: Sequence[RoiWindow]) -> torch.Tensor:
    """[C, h, w] maps of a frame -> [N, C, CELLS, CELLS] inside windows; edges are repeated."""
    matrices = torch.tensor(
        [
            [[one.x1 - one.x0, 0, one.x0 + one.x1 - 1], [0, one.y1 - one.y0, one.y0 + one.y1 - 1]]
            for one in windows
        ]
    )
    size = [len(windows), 1, CELLS, CELLS]
    grid = F.affine_grid(matrices.to(maps), size, align_corners=False)
    shared = maps.expand(len(windows), -1, -1, -1)
    return F.grid_sample(shared, grid, padding_mode="border", align_corners=False)


def paste(soft: SoftMask, window: RoiWindow, height: int, width: int) -> SoftMask:
    """A window's soft mask [ROI, ROI] into a whole-frame map [height, width], zero outside."""
    whole = np.zeros((height, width), np.float32)
    (x0, y0, x1, y1), part = paste_part(soft, window, height, width)
    whole[y0:y1, x0:x1] = part
    return whole


def paste_part(soft: SoftMask, window: RoiWindow, height: int, width: int) -> tuple[Box, SoftMask]:
    """The same without the zeros around it: its box in the frame and [y1 - y0, x1 - x0]."""
    x0, x1 = _reach(window.x0, window.x1, width)
    y0, y1 = _reach(window.y0, window.y1, height)
    scale = np.array([ROI / (window.x1 - window.x0), ROI / (window.y1 - window.y0)])
    shrink = max(1, int(max(scale[0] / width, scale[1] / height)))
    if shrink > 1:
        soft = np.asarray(cv2.blur(soft, (shrink, shrink)), np.float32)
    step_x, step_y = scale[0] / width, scale[1] / height
    matrix = np.array(
        [
            [step_x, 0, (x0 + 0.5) * step_x - window.x0 * scale[0] - 0.5],
            [0, step_y, (y0 + 0.5) * step_y - window.y0 * scale[1] - 0.5],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    part = cv2.warpAffine(soft, matrix, (x1 - x0, y1 - y0), flags=flags)
    return (x0, y0, x1, y1), np.asarray(part, np.float32)


def _reach(low: float, high: float, size: int) -> tuple[int, int]:
    """Pixels from `low` to `high` (0..1) and one more on each side, inside the frame."""
    first = min(max(0, math.floor(low * size) - 1), size - 1)
    return first, max(first + 1, min(size, math.ceil(high * size) + 1))


def colour_bins(image: Image | npt.NDArray[np.float32]) -> npt.NDArray[np.intp]:
    """[..., 3] 0..255 -> index of the 16 x 16 x 16 colour cell."""
    cells = np.clip(image, 0, 255).astype(np.intp) >> 4
    return np.asarray(cells[..., 0] * 256 + cells[..., 1] * 16 + cells[..., 2])


def colour_model(bins: npt.NDArray[np.intp], soft: SoftMask) -> SoftMask:
    """[2, 4096] smoothed shares of every colour in the object and around it."""
    counts = [
        np.bincount(bins.ravel(), weights=weight.ravel(), minlength=4096)
        for weight in (soft, 1 - soft)
    ]
    cubes = [
        _smooth(np.asarray(count, np.float64).reshape(16, 16, 16)).reshape(-1) for count in counts
    ]
    return np.stack([cube / max(1e-6, float(cube.sum())) for cube in cubes]).astype(np.float32)


def colour_odds(model: SoftMask, bins: npt.NDArray[np.intp]) -> SoftMask:
    """-1..1: how much likelier a pixel's colour is in the object than around it."""
    odds = np.log(model[0] + 1e-4) - np.log(model[1] + 1e-4)
    return np.asarray(np.tanh(odds / 2)[bins], np.float32)


def _smooth(cube: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    for axis in range(3):
        low, high = np.roll(cube, 1, axis), np.roll(cube, -1, axis)
        for edge, moved in ((0, low), (15, high)):
            index: list[slice | int] = [slice(None)] * 3
            index[axis] = edge
            moved[tuple(index)] = 0
        cube = 0.5 * cube + 0.25 * (low + high)
    return cube
