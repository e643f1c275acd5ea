"""Optical flow at low resolution: how the last mask moved (DIS, Kroeger et al. 2016)."""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from perception.tracking.roi import ROI, RoiWindow
from stream.frame import Image, SoftMask

ROWS = 192  # the flow's height

Grey = npt.NDArray[np.uint8]  # [ROWS, w]
Flow = npt.NDArray[np.float32]  # [ROWS, w, 2]: where a pixel was one frame before, in flow pixels


def halved(image: Image) -> Image:
    """[H, W, 3] uint8 at half the size, which is quick; as it is where that would be too small."""
    rows, cols = image.shape[:2]
    if rows < 2 * ROWS:
        return image
    return np.asarray(cv2.resize(image, (cols // 2, rows // 2), interpolation=cv2.INTER_AREA))


def make_grey(image: Image) -> Grey:
    """[H, W, 3] uint8 -> small grey picture."""
    rows, cols = image.shape[:2]
    width = int(np.clip(round(cols * ROWS / rows), 16, 4 * ROWS))
    small = cv2.resize(image, (width, ROWS), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)


def backward_flow(now: Grey, before: Grey) -> Flow | None:
    """Where each pixel of `now` was; None when there is no earlier picture of the same size."""
    if now.shape != before.shape or min(now.shape) < 64:
        return None
    engine = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    return np.asarray(engine.calc(now, before, None), np.float32)


def residual(flow: Flow, now: Grey, before: Grey) -> SoftMask:
    """0..1: how badly the flow explains each pixel."""
    error = cv2.blur(cv2.absdiff(_moved(flow, before), now).astype(np.float32), (5, 5))
    return np.asarray(np.clip(error / 32, 0, 1), np.float32)


def warp_whole(flow: Flow, soft: SoftMask) -> SoftMask:
    """Carry a whole-frame soft mask of the flow's size one frame on."""
    return np.asarray(_moved(flow, soft), np.float32)


def _moved(flow: Flow, picture: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A [ROWS, w] picture of one frame before, seen now."""
    rows, cols = picture.shape
    grid = np.meshgrid(np.arange(cols, dtype=np.float32), np.arange(rows, dtype=np.float32))
    x, y = grid[0] + flow[..., 0], grid[1] + flow[..., 1]
    return np.asarray(cv2.remap(picture, x, y, cv2.INTER_LINEAR))


def warp_window(flow: Flow | None, soft: SoftMask, old: RoiWindow, new: RoiWindow) -> SoftMask:
    """A window's soft mask [ROI, ROI] of the last frame, seen through the new window."""
    steps = (np.arange(ROI, dtype=np.float32) + 0.5) / ROI
    x = new.x0 + steps * (new.x1 - new.x0)
    y = new.y0 + steps * (new.y1 - new.y0)
    grid_x, grid_y = np.meshgrid(x, y)
    if flow is not None:
        rows, cols = flow.shape[:2]
        map_x = np.asarray(grid_x * cols - 0.5, np.float32)
        map_y = np.asarray(grid_y * rows - 0.5, np.float32)
        moved = cv2.remap(flow, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        grid_x, grid_y = grid_x + moved[..., 0] / cols, grid_y + moved[..., 1] / rows
    map_x = np.asarray((grid_x - old.x0) / (old.x1 - old.x0) * ROI - 0.5, np.float32)
    map_y = np.asarray((grid_y - old.y0) / (old.y1 - old.y0) * ROI - 0.5, np.float32)
    return np.asarray(cv2.remap(soft, map_x, map_y, cv2.INTER_LINEAR), np.float32)
