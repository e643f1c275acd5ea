"""What is in a frame: things with masks and names, the picture as a whole, and written words."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol
from weakref import WeakKeyDictionary

import cv2
import numpy as np
import numpy.typing as npt
import torch

from perception.backbone import Backbone, Features
from perception.cutter import Cutter, EdgeCutter
from perception.detector import Detection, Detector
from perception.named import Found, Namer, as_found, believable, held
from perception.naming import Name, NameMatcher, Posterior
from perception.ocr import TextLine, TextReader
from perception.proposals import COVERED, ProposalConfig, propose
from perception.recogniser import Recogniser
from perception.regions import GroundedRegion, holds, merge, share_inside, where, where_box
from perception.segment import refine_seed
from perception.sights import (
    Sighting,
    fits,
    look,
    match,
    meant_as,
    sight,
    sightings,
    told,
    under,
    unseen,
    wanted,
    worth_a_look,
)
from perception.surroundings import Surroundings, agreed, look_around
from stream.errors import PromptError
from stream.events import Point, Region
from stream.frame import Frame, Mask
from stream.masks import Box, mask_box, mask_iou

__all__ = ["GroundedRegion", "Scene", "SceneReader", "SceneView", "where", "where_box"]

MAX_POINTED = 0.12  # share of the frame up to which a masklet under a point is meant itself
MIN_PHRASE_FIT = 0.12  # below it nothing in view is what a phrase says
MIN_WINDOW_FIT = 0.3  # the same for windows, which are many and so more often wrong
SEED_PEAK = 0.5  # of a phrase map's peak: cells above it seed the mask
WHOLE_PEAK = 0.25  # the same for what fills the picture
MIN_AGREED = 0.2  # a name's mean probability from which several views agree on it
DOUBTED = 0.5  # both, for what the detector knows and does not see
MIN_DETECTED = 0.25  # probability from which a detection answers a phrase
MIN_COUNTED = 0.4  # the same for each one after the first
MAX_SEED = 0.35  # share of the picture up to which a detection starts a masklet
FEW = 3  # proposals that are looked at however much is detected
MAX_HIDING = 0.15  # up to it a detection hides the proposals inside


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class SceneView:
    """One frame as the language side sees it."""

    frame: Frame
    features: Features
    things: tuple[GroundedRegion, ...]  # most prominent first
    whole: tuple[Name, ...]  # names of the whole picture
    whole_posterior: Posterior
    detections: tuple[Detection, ...] = ()  # surest first; several names may share a place


class Scene(Protocol):
    """What the language side asks of perception while it answers."""

    def names_of(self, view: SceneView, mask: Mask) -> GroundedRegion: ...

    def point_at(self, view: SceneView, point: Point | None, box: Box | None) -> GroundedRegion: ...

    def find(self, view: SceneView, phrase: str) -> GroundedRegion: ...

    def find_all(self, view: SceneView, phrase: str) -> tuple[GroundedRegion, ...]: ...

    def around(self, view: SceneView) -> tuple[GroundedRegion, ...]: ...

    def whole_region(self, view: SceneView) -> GroundedRegion: ...

    def read_text(self, view: SceneView) -> tuple[TextLine, ...]: ...


class SceneReader:
    """Perception for the language side: one backbone pass, one look of the detector, then crops.

    Without a detector everything works, on the classifier's names and what stands out alone.
    """

    def __init__(
        self,
        backbone: Backbone,
        recogniser: Recogniser,
        matcher: NameMatcher,
        text_reader: TextReader,
        proposals: ProposalConfig | None = None,
        detector: Detector | None = None,
        cutter: Cutter | None = None,
    ) -> None:
        self._backbone, self._recogniser = backbone, recogniser
        self._matcher, self._text = matcher, text_reader
        self._proposals = proposals or ProposalConfig()
        self._cutter: Cutter = cutter or EdgeCutter()
        self._detector, self._namer = detector, Namer(recogniser, matcher)
        # Several questions on one frame share its windows.
        self._around: WeakKeyDictionary[SceneView, Surroundings] = WeakKeyDictionary()

    def read(
        self, frame: Frame, features: Features | None = None, tracked: Sequence[Region] = ()
    ) -> SceneView:
        """The frame's things; live masklets come first and keep their track ids."""
        features = features or self._backbone.features(frame.image)
        detections = look(self._detector, frame.image)
        live = held(tracked, detections)
        masks = [one.mask for one in live]
        seen = sightings(frame.image, detections, masks)
        closer = [as_found(one) for one in seen if worth_a_look(one)]
        loose = self._stand_out(frame, features, masks, seen)
        named = self._namer.name(frame, [*live, *closer, *loose])
        sure = len(named) - len(loose)
        plain = [self._namer.as_detected(one) for one in seen if not worth_a_look(one)]
        things = (*named[:sure], *plain, *merge(believable(named[sure:], seen)))
        whole = self._recogniser.classify([frame.image], [None])[0]
        return SceneView(frame, features, things, self._matcher.best(whole), whole, detections)

    def glance(
        self, frame: Frame, features: Features, tracked: Sequence[Region], seen: SceneView
    ) -> SceneView:
        """A later frame of a scene that was read: nothing is named anew.

        Its things are the live masklets that `seen` has named, where they are now.
        """
        if frame is seen.frame:
            return seen
        named = {thing.track_id: thing for thing in seen.things if thing.track_id is not None}
        things = tuple(
            replace(named[one.track_id], mask=one.mask, box=box, saliency=one.saliency)
            for one in held(tracked)
            if one.track_id in named and (box := mask_box(one.mask)) is not None
        )
        # Boxes that were detected in another frame lie elsewhere now.
        return replace(seen, frame=frame, features=features, things=things, detections=())

    def new_things(
        self, frame: Frame, features: Features | None = None, tracked: Sequence[Region] = ()
    ) -> tuple[GroundedRegion, ...]:
        """Those of `read`'s things that no masklet follows: much less work.

        What is detected comes first, under the detector's name; what fills the picture is left out.
        """
        features = features or self._backbone.features(frame.image)
        masks = [one.mask for one in held(tracked)]
        seen = sightings(frame.image, look(self._detector, frame.image), masks)
        loose = self._namer.name(frame, self._stand_out(frame, features, masks, seen))
        small = [one for one in seen if one.mask.mean() <= MAX_SEED]
        return (*map(self._namer.as_detected, small), *merge(believable(loose, seen)))

    def _stand_out(
        self, frame: Frame, features: Features, masks: Sequence[Mask], seen: Sequence[Sighting]
    ) -> list[Found]:
        """What stands out and is not inside a masklet or a detection."""
        known = [*masks, *(one.mask for one in seen if one.mask.mean() <= MAX_HIDING)]
        few = replace(self._proposals, limit=max(FEW, self._proposals.limit - len(seen)))
        return [
            Found(found.mask, found.saliency)
            for found in propose(frame.image, features, few, known)
            if all(share_inside(found.mask, mask) < COVERED for mask in known)
            and all(mask_iou(found.mask, one.mask) < COVERED for one in seen)
        ]

    def names_of(self, view: SceneView, mask: Mask) -> GroundedRegion:
        """A mask of this view with its names; raises PromptError when it is empty."""
        box = mask_box(mask)
        if box is None:
            raise PromptError("expected a mask with at least one pixel, got an empty one")
        found = Found(mask, 1.0, None, match(box, view.detections))
        return self._namer.name(view.frame, [found])[0]

    def point_at(self, view: SceneView, point: Point | None, box: Box | None) -> GroundedRegion:
        """What the wearer points at; raises PromptError for a prompt outside the frame."""
        image = view.frame.image
        if box is not None:
            return self.names_of(view, self._cutter.from_box(image, box))
        if point is None:
            raise PromptError("expected a point or a box, got neither")
        for thing in view.things:
            # Something large may hold the thing that is meant: the table under the cup.
            small = thing.mask.mean() <= MAX_POINTED
            if thing.track_id is not None and small and holds(thing.mask, point):
                return thing
        sighting = under(image, point, view.detections)
        if sighting is not None and sighting.mask.mean() <= MAX_POINTED:
            return self._exactly(view.frame, sighting)
        region = self.names_of(view, self._cutter.from_point(image, point, view.features))
        if sighting is None or region.score >= sighting.detection.probability:
            return region
        # A part of something large that is not known by itself: the large thing is meant.
        return self._exactly(view.frame, sighting)

    def _exactly(self, frame: Frame, sighting: Sighting) -> GroundedRegion:
        """A detection that is pointed at, cut out as well as can be."""
        mask = self._cutter.from_box(frame.image, sighting.detection.box)
        found = as_found(replace(sighting, mask=mask))
        return self._namer.name(frame, [found])[0]

    def find(self, view: SceneView, phrase: str) -> GroundedRegion:
        """The thing a phrase names; raises PromptError when nothing in view fits it."""
        detected = fits(phrase, view.detections, MIN_DETECTED)
        if detected:
            return self._meant(view, phrase, detected[0])
        meant = self._meaning(phrase)
        part, window = self._gates(view, phrase)

        def rank(thing: GroundedRegion) -> float:
            # Of several parts that fit, the one that stands out (or is followed) is meant.
            return float(thing.posterior @ meant) * (0.5 + 0.5 * thing.saliency)

        ranked = sorted(view.things, key=rank, reverse=True)
        if ranked and float(ranked[0].posterior @ meant) >= part:
            return ranked[0]
        if float(view.whole_posterior @ meant) >= part:
            mask = refine_seed(view.frame.image, self._phrase_map(view.features, meant))
            if mask.any():
                return self.names_of(view, mask)
        fit = self._windows(view).best(meant)[1] if meant.any() else 0.0
        found = self._in_windows(view, meant) if fit >= window else None
        if found is None:
            raise PromptError(f"expected something in view that fits {phrase!r}, found nothing")
        # The window's own fit is what decided; a part cut out of it may be named worse.
        weak = float(found.posterior @ meant) < MIN_PHRASE_FIT
        return replace(found, names=self._matcher.best(meant * fit)) if weak else found

    def find_all(self, view: SceneView, phrase: str) -> tuple[GroundedRegion, ...]:
        """Every thing that a phrase names, surest first; raises PromptError where there is none."""
        detected = fits(phrase, view.detections, MIN_DETECTED)
        if not detected:
            first = self.find(view, phrase)
            label = first.names[0].label
            return tuple(t for t in view.things if t.names[0].label == label) or (first,)
        counted = [one for one in detected[1:] if one.probability >= MIN_COUNTED]
        return tuple(self._meant(view, phrase, one) for one in (detected[0], *counted))

    def _meant(self, view: SceneView, phrase: str, detection: Detection) -> GroundedRegion:
        """What a phrase means, by the phrase's own words; a masklet there keeps its id."""
        region = self._namer.as_detected(sight(view.frame.image, detection))
        region = replace(region, names=(meant_as(phrase, detection),))
        for thing in view.things:
            if thing.track_id is not None and match(thing.box, [detection]) is not None:
                return replace(region, mask=thing.mask, box=thing.box, track_id=thing.track_id)
        return region

    def _gates(self, view: SceneView, phrase: str) -> tuple[float, float]:
        """How well a part of the view, and a window of it, must fit a phrase.

        Better where the detector knows what is meant, and sees no trace of it.
        """
        if self._detector is not None and unseen(phrase, view.detections):
            return DOUBTED, DOUBTED
        return MIN_PHRASE_FIT, MIN_WINDOW_FIT

    def _meaning(self, phrase: str) -> Posterior:
        """[C] how well each class fits a phrase."""
        if self._detector is None:
            return self._matcher.match(phrase)
        return wanted(self._matcher, phrase)

    def whole_region(self, view: SceneView) -> GroundedRegion:
        """What the whole picture is named after: the part that speaks for its best name.

        A close-up is named better as a picture than by a part cut out of it, so the picture's
        names are kept.
        """
        match = np.zeros(len(view.whole_posterior), np.float32)
        match[int(view.whole_posterior.argmax())] = 1.0
        heat = self._phrase_map(view.features, match, WHOLE_PEAK)
        mask = refine_seed(view.frame.image, heat)
        box = mask_box(mask)
        if box is None:
            height, width = view.frame.size
            mask, box = np.ones((height, width), bool), (0, 0, width, height)
        return GroundedRegion(mask, box, view.whole_posterior, view.whole, 1.0)

    def around(self, view: SceneView) -> tuple[GroundedRegion, ...]:
        """What else is there: names that several views of the frame agree on, surest first."""
        posteriors = [view.whole_posterior, *(thing.posterior for thing in view.things)]
        together = agreed([*posteriors, *self._windows(view).posteriors])
        regions: list[GroundedRegion] = []
        for name in self._matcher.best(together):
            if name.probability < MIN_AGREED:
                break
            region = self._in_windows(view, self._matcher.exactly(name.label))
            if region is None or self._told(view, region, name):
                continue
            regions.append(replace(region, names=(name,)))
        return tuple(regions)

    def _told(self, view: SceneView, region: GroundedRegion, name: Name) -> bool:
        if self._detector is None:
            return False
        return told(region, name.label, self._matcher, view.detections)

    def _windows(self, view: SceneView) -> Surroundings:
        if view not in self._around:
            self._around[view] = look_around(self._recogniser, view.frame.image)
        return self._around[view]

    def _in_windows(self, view: SceneView, match: npt.NDArray[np.float32]) -> GroundedRegion | None:
        """The thing inside the window that fits best; None when nothing there can be cut out."""
        (x0, y0, x1, y1), _ = self._windows(view).best(match)
        crop = np.ascontiguousarray(view.frame.image[y0:y1, x0:x1])
        near = self._backbone.features(crop)
        mask = np.zeros(view.frame.size, bool)
        mask[y0:y1, x0:x1] = refine_seed(crop, self._phrase_map(near, match))
        return self.names_of(view, mask) if mask.any() else None

    def read_text(self, view: SceneView) -> tuple[TextLine, ...]:
        """Written words in the frame, from top to bottom."""
        return self._text.read(view.frame.image)

    def _phrase_map(
        self, features: Features, match: npt.NDArray[np.float32], peak: float = SEED_PEAK
    ) -> npt.NDArray[np.float32]:
        """Class activation map (Zhou et al., 2016) of the classes that fit, [h, w] in 0..1."""
        weight = self._recogniser.class_weights.to(features.top)
        chosen = torch.from_numpy(match * (match >= 0.5 * match.max())).to(weight)
        direction = (chosen @ weight) / chosen.sum() - weight.mean(0)
        heat = (features.top * direction[:, None, None]).sum(0).clamp(min=0).cpu().numpy()
        heat = np.asarray(heat / max(1e-6, float(heat.max())), np.float32)
        size = (features.dense.shape[-1], features.dense.shape[-2])
        grown = np.asarray(cv2.resize(heat, size, interpolation=cv2.INTER_CUBIC), np.float32)
        return np.asarray(np.clip((grown - peak) / (1 - peak) + 0.5, 0, 1), np.float32)
