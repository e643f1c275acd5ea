"""Deterministic doubles of perception, for tests without weights: what is in view is given."""

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from perception.detect.detector import Detection, Detector
from perception.detect.ocr import TextLine
from perception.features.backbone import Features
from perception.scene.name_matching import Name
from perception.scene.reader import GroundedRegion, SceneView
from perception.scene.spotting import Spotter
from perception.tracking.tracker import TrackerState
from stream.clock import NS_PER_MS
from stream.errors import PromptError
from stream.events import Region
from stream.frame import Frame, Image, Mask
from stream.geometry import Box, Point, clip_box, encode_mask, mask_box

CELL = 8  # pixels of a frame per cell of the features


def fake_features(size: tuple[int, int]) -> Features:
    """Features of a (height, width) frame that say nothing."""
    rows, cols = max(1, size[0] // CELL), max(1, size[1] // CELL)
    return Features(torch.zeros(168, rows, cols), torch.zeros(1280, 1, 1), size)


def thing(
    box: Box,
    label: str,
    probability: float = 0.9,
    size: tuple[int, int] = (96, 128),
    track_id: int | None = None,
) -> GroundedRegion:
    """A named rectangle in a (height, width) frame."""
    x0, y0, x1, y1 = clip_box(box, *size)
    mask = np.zeros(size, bool)
    mask[y0:y1, x0:x1] = True
    names = (Name(label, probability), Name("something else", 1 - probability))
    posterior = np.array([probability, 1 - probability], np.float32)
    return GroundedRegion(mask, (x0, y0, x1, y1), posterior, names, 1.0, track_id)


class FakeScene:
    """Scene and scene reader whose things and written words are given."""

    def __init__(
        self,
        things: Sequence[GroundedRegion] = (),
        whole: Name | None = None,
        lines: Sequence[str] = (),
        around: Sequence[GroundedRegion] = (),
    ) -> None:
        """`whole` names the whole picture; nothing sure unless given. `around`: a closer look."""
        self._things = tuple(things)
        self._whole = whole or Name("nothing", 0.0)
        self._lines = tuple(lines)
        self._around = tuple(around)
        self.detections: tuple[Detection, ...] = ()  # of every picture, until others are set
        self.looks = 0  # of the detector
        self.reads: list[tuple[int, tuple[Region, ...]]] = []  # pts_ns and masklets of each read

    def read(
        self, frame: Frame, features: Features | None = None, tracked: Sequence[Region] = ()
    ) -> SceneView:
        """The given things, cut to the frame; live masklets lend theirs their track ids."""
        self.reads.append((frame.pts_ns, tuple(tracked)))
        held = {r.box: r.track_id for r in tracked if r.box is not None}
        fitted = (_fit(thing, frame.size) for thing in self._things)
        things = tuple(replace(one, track_id=held.get(one.box, one.track_id)) for one in fitted)
        posterior = np.array([self._whole.probability, 1 - self._whole.probability], np.float32)
        features = features or fake_features(frame.size)
        return SceneView(frame, features, things, (self._whole,), posterior)

    def glance(
        self, frame: Frame, features: Features, tracked: Sequence[Region], seen: SceneView
    ) -> SceneView:
        """What was seen, in a later frame."""
        return seen if frame is seen.frame else replace(seen, frame=frame, features=features)

    def new_things(
        self, frame: Frame, features: Features | None = None, tracked: Sequence[Region] = ()
    ) -> tuple[GroundedRegion, ...]:
        """The given things that no live masklet follows."""
        view = self.read(frame, features, tracked)
        return tuple(one for one in view.things if one.track_id is None)

    def detect(self, image: Image) -> tuple[Detection, ...]:
        """The given detections."""
        self.looks += 1
        return self.detections

    def spotter(self) -> Spotter:
        """The real one, which looks at what is detected."""
        return Spotter(detects=True)

    def names_of(self, view: SceneView, mask: Mask) -> GroundedRegion:
        """The thing that a mask meets, or one without a name."""
        box = mask_box(mask)
        if box is None:
            raise PromptError("expected a mask with at least one pixel, got an empty one")
        for one in view.things:
            if (one.mask & mask).any():
                return one
        return thing(box, "thing", 0.05, view.frame.size)

    def point_at(self, view: SceneView, point: Point | None, box: Box | None) -> GroundedRegion:
        """The thing under a point or in a box; raises PromptError outside the frame."""
        height, width = view.frame.size
        if box is None:
            if point is None:
                raise PromptError("expected a point or a box, got neither")
            x, y = point
            if not (0 <= x < width and 0 <= y < height):
                raise PromptError(f"expected a point inside the {width}x{height} frame: {point}")
            box = (x, y, x + 1, y + 1)
        return self.names_of(view, thing(box, "prompt", size=view.frame.size).mask)

    def find(self, view: SceneView, phrase: str) -> GroundedRegion:
        """The first thing whose name holds a word of the phrase; else raises PromptError."""
        for one in view.things:
            if set(phrase.lower().split()) & set(one.names[0].label.lower().split()):
                return one
        raise PromptError(f"expected something in view that fits {phrase!r}, found nothing")

    def find_all(self, view: SceneView, phrase: str) -> tuple[GroundedRegion, ...]:
        """All things of the found one's name."""
        first = self.find(view, phrase)
        label = first.names[0].label
        return tuple(one for one in view.things if one.names[0].label == label)

    def around(self, view: SceneView) -> tuple[GroundedRegion, ...]:
        """The given things of a closer look, cut to the frame."""
        return tuple(_fit(one, view.frame.size) for one in self._around)

    def whole_region(self, view: SceneView) -> GroundedRegion:
        """The whole frame under the whole picture's name."""
        height, width = view.frame.size
        whole = view.whole[0]
        return thing((0, 0, width, height), whole.label, whole.probability, (height, width))

    def read_text(self, view: SceneView) -> tuple[TextLine, ...]:
        """The given lines, one below the other."""
        return tuple(
            TextLine(text, (0, 8 * n, 32, 8 * n + 8), 0.9) for n, text in enumerate(self._lines)
        )


class FakeDetector(Detector):
    """Sees the given things in every picture."""

    def __init__(self, detections: Sequence[Detection] = ()) -> None:
        self._detections = tuple(detections)
        self.looks = 0

    def detect(self, image: Image, min_score: float = 0.0) -> tuple[Detection, ...]:
        """The given detections, surest first."""
        self.looks += 1
        return tuple(sorted(self._detections, key=lambda one: -one.probability))


class FakeBackbone:
    """Features that say nothing, counted."""

    def __init__(self) -> None:
        self.passes = 0

    def features(self, image: Image, height: int | None = None) -> Features:
        """The right shape, all zero."""
        self.passes += 1
        return fake_features((image.shape[0], image.shape[1]))


class FakeTracker:
    """A tracker whose objects never move; those in `hidden` are out of view."""

    def __init__(self) -> None:
        self.masks: dict[int, Mask] = {}
        self.hidden: set[int] = set()

    def init_state(self) -> TrackerState:
        """No masklets."""
        return TrackerState()

    def add(
        self, state: TrackerState, frame: Frame, features: Features | None, mask: Mask
    ) -> tuple[TrackerState, int]:
        """Start a masklet; raises PromptError on an empty mask or a wrong size."""
        if mask.shape != frame.size or not mask.any():
            raise PromptError(f"expected a mask with pixels of size {frame.size}")
        self.masks[state.next_id] = mask
        return replace(state, next_id=state.next_id + 1), state.next_id

    def remove(self, state: TrackerState, track_id: int) -> TrackerState:
        """Forget a masklet; an unknown id raises PromptError."""
        if track_id not in self.masks:
            raise PromptError(f"expected one of the masklets {list(self.masks)}, got {track_id}")
        del self.masks[track_id]
        return state

    def step(
        self, state: TrackerState, frame: Frame, features: Features | None = None
    ) -> tuple[TrackerState, tuple[Region, ...]]:
        """Every masklet where it was, empty while hidden."""
        return state, tuple(self._region(n, mask, frame) for n, mask in self.masks.items())

    def _region(self, track_id: int, mask: Mask, frame: Frame) -> Region:
        shown = np.zeros_like(mask) if track_id in self.hidden else mask
        return Region(track_id, frame.pts_ns, encode_mask(shown), mask_box(shown), 0.9)


class BrightTracker(FakeTracker):
    """Every masklet is what is bright in the frame; one frame takes longer than the other."""

    def step(
        self, state: TrackerState, frame: Frame, features: Features | None = None
    ) -> tuple[TrackerState, tuple[Region, ...]]:
        """Where the bright thing is."""
        time.sleep((frame.pts_ns // NS_PER_MS % 4) * 0.05)
        bright = frame.image.min(axis=2) > 160
        self.masks = dict.fromkeys(self.masks, bright)
        return super().step(state, frame, features)


def _fit(one: GroundedRegion, size: tuple[int, int]) -> GroundedRegion:
    if one.mask.shape == size:
        return one
    return thing(one.box, one.names[0].label, one.score, size, one.track_id)
