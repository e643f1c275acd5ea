"""What there is to point at in a view: what was detected, what stands out, and closer looks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from perception.detect.detector import Detection, overlaps
from perception.scene.detections import alone
from perception.scene.grounded_region import SceneView
from reasoning.pixsearch.region_selector import DETECTED, LOOKED, PROPOSED, CandidateFeatures
from stream.frame import Image, Mask
from stream.geometry import Box

MOST = 20  # detections of the whole frame, and as many of its parts
DOUBT = 0.08  # probability below which a detection is not worth a thought
SAME = 0.6  # overlap from which a part's detection is one of the whole frame's
EDGE = 2  # pixels from a part's border at which a box is taken to be cut off

Detect = Callable[[Image], Sequence[Detection]]


@dataclass(frozen=True, slots=True, eq=False)
class RegionCandidate:
    """One thing: its box in pixels, and its mask where that is known already."""

    box: Box
    mask: Mask | None = None


@dataclass(frozen=True, slots=True, eq=False)
class RegionCandidates:
    """Things in the selector's terms, and as places of the frame."""

    features: CandidateFeatures
    things: tuple[RegionCandidate, ...]

    def plus(self, other: "RegionCandidates") -> "RegionCandidates":
        """Both, in this order."""
        return RegionCandidates(self.features.plus(other.features), (*self.things, *other.things))


def candidates_of(view: SceneView) -> RegionCandidates:
    """What is detected in the whole frame, surest first, and the view's things."""
    found = [one for one in view.detections if one.probability >= DOUBT][:MOST]
    things = list(view.things)
    classes = len(view.whole_posterior)
    rows = [alone(one, classes) for one in found] + [thing.posterior for thing in things]
    sure = [one.probability for one in found] + [thing.score for thing in things]
    places = [RegionCandidate(one.box) for one in found] + [
        RegionCandidate(t.box, t.mask) for t in things
    ]
    sources = (*(DETECTED for _ in found), *(PROPOSED for _ in things))
    return RegionCandidates(
        features_of(rows, places, sure, sources, view.frame.size, classes), tuple(places)
    )


def closer_candidates(view: SceneView, detect: Detect) -> RegionCandidates:
    """What is detected in parts of the frame and was not in the whole of it, surest first."""
    found: list[Detection] = []
    for window in windows(view.frame.size):
        x0, y0, x1, y1 = window
        part = np.ascontiguousarray(view.frame.image[y0:y1, x0:x1])
        for one in detect(part):
            a, b, c, d = one.box
            moved = Detection(one.label, one.probability, (a + x0, b + y0, c + x0, d + y0))
            known = _known(moved, [*view.detections, *found])
            if one.probability >= DOUBT and not known and not _cut_off(moved.box, window, view):
                found.append(moved)
    found = sorted(found, key=lambda one: -one.probability)[:MOST]
    classes = len(view.whole_posterior)
    places = [RegionCandidate(one.box) for one in found]
    rows = [alone(one, classes) for one in found]
    sure = [one.probability for one in found]
    sources = tuple(LOOKED for _ in found)
    return RegionCandidates(
        features_of(rows, places, sure, sources, view.frame.size, classes), tuple(places)
    )


def features_of(
    rows: Sequence[np.ndarray[tuple[int, ...], np.dtype[np.float32]]],
    places: Sequence[RegionCandidate],
    sure: Sequence[float],
    sources: tuple[int, ...],
    size: tuple[int, int],
    classes: int,
) -> CandidateFeatures:
    """Posteriors [C], places in pixels and probabilities as the selector reads them."""
    height, width = size
    scale = torch.tensor([width, height, width, height], dtype=torch.float32)
    posteriors = torch.from_numpy(np.array(rows, np.float32).reshape(len(places), classes))
    boxes = torch.tensor([place.box for place in places], dtype=torch.float32).reshape(-1, 4)
    return CandidateFeatures(
        posteriors, boxes / scale, torch.tensor(sure, dtype=torch.float32), sources
    )


def windows(size: tuple[int, int]) -> list[Box]:
    """The four quarters and the middle of a frame (height, width), each half as high and wide."""
    height, width = size
    rows, cols = height // 2, width // 2
    corners = [(y, x) for y in (0, height - rows) for x in (0, width - cols)]
    corners.append(((height - rows) // 2, (width - cols) // 2))
    return [(x, y, x + cols, y + rows) for y, x in corners]


def _known(one: Detection, others: Sequence[Detection]) -> bool:
    """Whether the same was seen there at least as surely."""
    surer = [o for o in others if o.label == one.label and o.probability >= one.probability]
    return bool(surer) and float(overlaps(one.box, surer).max()) >= SAME


def _cut_off(box: Box, window: Box, view: SceneView) -> bool:
    """Whether a box ends where its window does, and the frame does not."""
    height, width = view.frame.size
    x0, y0, x1, y1 = window
    return (
        (x0 > 0 and box[0] - x0 <= EDGE)
        or (y0 > 0 and box[1] - y0 <= EDGE)
        or (x1 < width and x1 - box[2] <= EDGE)
        or (y1 < height and y1 - box[3] <= EDGE)
    )
