"""A frame as perception sees it: its regions with their names, and how they lie to each other."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from perception.detect.detector import Detection
from perception.features.backbone import Features
from perception.scene.name_matching import Name, Posterior
from stream.frame import Frame, Mask
from stream.geometry import Box, Point, mask_box

SAME_NAMES = 0.25  # shared probability from which touching parts are one thing
NAMED = 0.04  # below it a probability says nothing
TOUCHING = 4  # pixels between parts that still touch


@dataclass(frozen=True, slots=True, eq=False)
class GroundedRegion:
    """A region of one frame with what it may be."""

    mask: Mask  # [H, W]
    box: Box
    posterior: Posterior  # [C] over class names
    names: tuple[Name, ...]  # most probable first
    saliency: float  # 0..1, how much it stands out
    track_id: int | None = None  # its masklet, when it has one

    @property
    def score(self) -> float:
        """Probability of its best name."""
        return self.names[0].probability


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class SceneView:
    """One frame as the language side sees it."""

    frame: Frame
    features: Features
    things: tuple[GroundedRegion, ...]  # most prominent first
    whole: tuple[Name, ...]  # names of the whole picture
    whole_posterior: Posterior
    detections: tuple[Detection, ...] = ()  # surest first; several names may share a place


def where(region: GroundedRegion, size: tuple[int, int]) -> str:
    """Where a region lies in a frame of (height, width), in words."""
    return where_box(region.box, size)


def where_box(box: Box, size: tuple[int, int]) -> str:
    """The same of a box."""
    x = (box[0] + box[2]) / 2 / size[1]
    y = (box[1] + box[3]) / 2 / size[0]
    across = "on the left" if x < 0.36 else "on the right" if x > 0.64 else ""
    along = "at the top" if y < 0.3 else "at the bottom" if y > 0.75 else ""
    return " ".join(filter(None, (along, across))) or "in the middle"


def merge(things: Sequence[GroundedRegion]) -> tuple[GroundedRegion, ...]:
    """Join touching parts that carry the same names; grouping cuts large things into parts."""
    merged: list[GroundedRegion] = []
    for thing in things:
        for index, other in enumerate(merged):
            shared = np.minimum(other.posterior, thing.posterior)
            same = float(shared[shared >= NAMED].sum()) >= SAME_NAMES
            free = thing.track_id is None and other.track_id is None
            if same and free and _touch(other, thing):
                mask = other.mask | thing.mask
                box = mask_box(mask) or other.box
                saliency = max(other.saliency, thing.saliency)
                merged[index] = replace(other, mask=mask, box=box, saliency=saliency)
                break
        else:
            merged.append(thing)
    return tuple(merged)


def holds(mask: Mask, point: Point) -> bool:
    """Whether a point (x, y) lies on a mask; one outside the picture does not."""
    x, y = point
    inside = 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1]
    return inside and bool(mask[y, x])


def _touch(left: GroundedRegion, right: GroundedRegion) -> bool:
    """Whether two masks meet or lie a few pixels apart."""
    x0, y0, x1, y1 = left.box
    rows, cols = (slice(max(0, a - TOUCHING), b + TOUCHING) for a, b in ((y0, y1), (x0, x1)))
    kernel = np.ones((2 * TOUCHING + 1, 2 * TOUCHING + 1), np.uint8)
    grown = cv2.dilate(np.ascontiguousarray(left.mask[rows, cols]).view(np.uint8), kernel)
    return bool((grown.astype(bool) & right.mask[rows, cols]).any())
