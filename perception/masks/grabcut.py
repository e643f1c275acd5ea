"""Masks from a point or a box, without training: seed from dense features, cut along edges.

GrabCut (Rother, Kolmogorov & Blake, 2004) finds the border; the shared features say where to start.
"""

import cv2
import numpy as np
import numpy.typing as npt

from perception.features.backbone import STRIDE, Features
from stream.errors import PromptError
from stream.frame import Image, Mask, SoftMask
from stream.geometry import Box, Point, clip_box, components, mask_box

WORK_SIDE = 192  # pixels of the crop's longer side that GrabCut sees
ITERATIONS = 1  # more cost time and lose a little: box IoU 0.630 with one, 0.620 with three
MARGIN = 0.35  # of the box's side: the surroundings shown to GrabCut as background
# Of the box; a cut outside these has failed: it flooded, or kept only the sure core (pi / 16).
MIN_FILL, MAX_FILL = 0.23, 0.97
MIN_AREA, MAX_AREA = 0.004, 0.5  # of the picture, for the region around a point
LEVELS = np.linspace(0.95, 0.4, 12)  # thresholds tried around a point, of the peak similarity
SURE_LEVEL, LIKELY_LEVEL, FAR_LEVEL = 0.8, 0.5, 0.1  # soft seed -> GrabCut's four labels
BY_LEVEL = np.array([cv2.GC_BGD, cv2.GC_PR_BGD, cv2.GC_PR_FGD, cv2.GC_FGD], np.uint8)


def mask_from_box(image: Image, box: Box) -> Mask:
    """The thing that fills a box: [H, W, 3] uint8 -> [H, W] bool.

    Raises PromptError for a box outside the picture. Where the colours inside and outside cannot
    be told apart the inscribed ellipse is taken: a box says at least that much.
    """
    size = image.shape[:2]
    box = clip_box(box, *size)
    window = _grown(box, MARGIN, size)
    x0, y0, x1, y1 = _inside(box, window)
    part = image[_slices(window)]
    core = ellipse(part.shape[:2], (x0, y0, x1, y1), 0.5)
    labels = np.full(part.shape[:2], cv2.GC_BGD, np.uint8)
    labels[y0:y1, x0:x1] = np.where(core[y0:y1, x0:x1], cv2.GC_FGD, cv2.GC_PR_FGD)
    mask = _cut(part, labels)
    fill = np.count_nonzero(mask) / ((x1 - x0) * (y1 - y0))
    if not MIN_FILL <= fill <= MAX_FILL:
        return ellipse(size, box, 1.0)
    return _put(_main_part(mask, core), window, size)


def mask_from_point(image: Image, point: Point, features: Features) -> Mask:
    """The thing under a point: [H, W, 3] uint8, (x, y) in pixels -> [H, W] bool.

    Of the regions around the point that look alike at some level, the one that stands out most
    from its surroundings is taken. Raises PromptError for a point outside the picture.
    """
    check_point(image, point)
    x, y = point
    mask = refine_seed(image, _seed_around(point, features))
    if not mask.any():
        mask[y, x] = True  # a frame of a few pixels: the seed is finer than the picture
    return mask


def check_point(image: Image, point: Point) -> None:
    """Raises PromptError for a point (x, y) outside the picture."""
    height, width = image.shape[:2]
    if not (0 <= point[0] < width and 0 <= point[1] < height):
        raise PromptError(f"expected a point x,y inside the {width}x{height} frame, got {point}")


def refine_seed(image: Image, seed: SoftMask) -> Mask:
    """A coarse soft mask [h, w] in 0..1 -> the picture's own border, [H, W] bool."""
    height, width = image.shape[:2]
    soft = np.asarray(cv2.resize(seed, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    likely = soft >= LIKELY_LEVEL
    box = mask_box(likely)
    if box is None:
        return likely
    window = _grown(box, MARGIN, (height, width))
    soft, likely = soft[_slices(window)], likely[_slices(window)]
    levels = (soft >= FAR_LEVEL).view(np.uint8) + likely + (soft >= SURE_LEVEL)
    mask = _cut(image[_slices(window)], BY_LEVEL[levels])
    ratio = np.count_nonzero(mask) / np.count_nonzero(likely)
    # A cut that throws most of the seed away, or floods, followed some other border.
    mask = _main_part(mask, likely) if 0.4 <= ratio <= 2.0 else likely
    return _put(mask, window, (height, width))


def _seed_around(point: Point, features: Features) -> SoftMask:
    """[h, w] soft seed of the best region around the point."""
    dense = features.dense
    rows, cols = dense.shape[-2:]
    row = min(rows - 1, int(point[1] * rows / features.image_size[0]))
    col = min(cols - 1, int(point[0] * cols / features.image_size[1]))
    around = dense[:, max(0, row - 1) : row + 2, max(0, col - 1) : col + 2].mean(dim=(1, 2))
    similar = (dense * (around / around.norm())[:, None, None]).sum(0).cpu().numpy()
    low = float(np.quantile(similar, 0.1))
    similar = np.clip((similar - low) / max(1e-6, float(similar[row, col]) - low), 0, 1)
    best, best_contrast = None, -1.0
    for level in LEVELS:
        region = _component(similar >= level, row, col)
        share = region.mean()
        if share > MAX_AREA:
            break
        ring = _dilate(region, 2) & ~region
        contrast = float(similar[region].mean() - similar[ring].mean()) if ring.any() else 0.0
        # Small regions win on contrast alone; things are larger than a texture patch.
        contrast *= min(1.0, share / (4 * MIN_AREA)) ** 0.5
        if share >= MIN_AREA and contrast > best_contrast:
            best, best_contrast = region, contrast
    if best is None:
        best = np.zeros((rows, cols), bool)
        best[max(0, row - 1) : row + 2, max(0, col - 1) : col + 2] = True
    return np.asarray(cv2.GaussianBlur(best.astype(np.float32), (3, 3), 0), np.float32)


def _cut(image: Image, labels: npt.NDArray[np.uint8]) -> Mask:
    """GrabCut on a shrunken copy: [h, w, 3] and its labels [h, w] -> [h, w]."""
    height, width = labels.shape
    scale = min(1.0, WORK_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.ascontiguousarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    marks = np.ascontiguousarray(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST))
    shown = _foreground(marks)
    if shown.all() or not shown.any():
        return np.full(labels.shape, bool(shown.any()))
    models = np.zeros((2, 1, 65), np.float64)
    cv2.setRNGSeed(0)  # GrabCut's k-means draws random centres; the same picture, the same mask
    cv2.grabCut(small, marks, None, models[0], models[1], ITERATIONS, cv2.GC_INIT_WITH_MASK)
    cut = _foreground(marks).astype(np.float32)
    grown = cv2.resize(cut, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(grown >= 0.5)


def _foreground(marks: npt.NDArray[np.uint8]) -> Mask:
    return np.asarray((marks == cv2.GC_FGD) | (marks == cv2.GC_PR_FGD))


def _main_part(mask: Mask, core: Mask) -> Mask:
    """The connected part that shares most with the core, holes filled."""
    labels, areas = components(mask)
    if len(areas) <= 1:
        return core
    shared = np.bincount(labels[core & mask], minlength=len(areas))
    shared[0] = 0
    if not shared.any():
        return core
    part = (labels == int(shared.argmax())).astype(np.uint8)
    contours, _ = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(part, contours, -1, 1, cv2.FILLED) > 0)


def _component(mask: Mask, row: int, col: int) -> Mask:
    labels, _ = components(mask, 4)
    here = labels[row, col]
    return np.asarray(labels == here) if here else np.zeros_like(mask)


def _dilate(mask: Mask, cells: int) -> Mask:
    kernel = np.ones((2 * cells + 1, 2 * cells + 1), np.uint8)
    return np.asarray(cv2.dilate(mask.astype(np.uint8), kernel) > 0)


def ellipse(size: tuple[int, ...], box: Box, scale: float) -> Mask:
    """The ellipse inscribed in a box, its axes times `scale`; never empty."""
    x0, y0, x1, y1 = box
    rows = (np.arange(size[0]) + 0.5 - (y0 + y1) / 2) / max(0.5, scale * (y1 - y0) / 2)
    cols = (np.arange(size[1]) + 0.5 - (x0 + x1) / 2) / max(0.5, scale * (x1 - x0) / 2)
    off = rows[:, None] ** 2 + cols[None] ** 2
    return np.asarray(off <= max(1.0001, float(off.min())))  # a thin box may miss every middle


def _slices(window: Box) -> tuple[slice, slice]:
    x0, y0, x1, y1 = window
    return slice(y0, y1), slice(x0, x1)


def _inside(box: Box, window: Box) -> Box:
    """A box as its window sees it."""
    x, y = window[:2]
    return box[0] - x, box[1] - y, box[2] - x, box[3] - y


def _put(part: Mask, window: Box, size: tuple[int, ...]) -> Mask:
    """A window's mask in an empty picture's."""
    whole = np.zeros(size, bool)
    whole[_slices(window)] = part
    return whole


def _grown(box: Box, share: float, size: tuple[int, ...]) -> Box:
    x0, y0, x1, y1 = box
    pad_x, pad_y = max(STRIDE, round(share * (x1 - x0))), max(STRIDE, round(share * (y1 - y0)))
    return (
        max(0, x0 - pad_x),
        max(0, y0 - pad_y),
        min(size[1], x1 + pad_x),
        min(size[0], y1 + pad_y),
    )
