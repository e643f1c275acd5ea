"""What is in a frame: things with masks and names, the picture as a whole, and written words."""

import weakref
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from perception.detect.detector import Detection, Detector
from perception.detect.ocr import TextLine, TextReader
from perception.features.backbone import Backbone, Features
from perception.masks.cutter import Cutter, EdgeCutter
from perception.masks.proposals import COVERED, ProposalConfig, propose
from perception.scene.detections import Sighting, sightings, told, under, worth_a_look
from perception.scene.grounded_region import (
    GroundedRegion,
    SceneView,
    holds,
    merge,
    where,
    where_box,
)
from perception.scene.instances import PhraseSegmenter
from perception.scene.localisation import WHOLE_PEAK, CloserLook, Noticed
from perception.scene.name_matching import NameMatcher, Posterior
from perception.scene.phrase_grounding import Finder, PhraseFinder
from perception.scene.recogniser import Recogniser
from perception.scene.region_naming import Found, Namer, as_found, believable, held
from perception.scene.sliding_windows import agreed
from perception.scene.spotting import Spotter
from stream.errors import PromptError
from stream.events import Region
from stream.frame import Frame, Image, Mask
from stream.geometry import Box, Point, mask_box, mask_iou, share_inside

__all__ = ["GroundedRegion", "Scene", "SceneReader", "SceneView", "where", "where_box"]

MAX_POINTED = 0.12  # share of the frame up to which a masklet under a point is meant itself
MIN_AGREED = 0.2  # a name's mean probability from which several views agree on it
MAX_SEED = 0.35  # share of the picture up to which a detection starts a masklet
FEW = 3  # proposals that are looked at however much is detected
MAX_HIDING = 0.15  # up to it a detection hides the proposals inside


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
        self._closer = CloserLook(backbone, recogniser, self._namer)
        self._finder: Finder | None = None
        self._segmenter: PhraseSegmenter | None = None
        self._looked: tuple[weakref.ref[Image], tuple[Detection, ...]] | None = None
        self._phrases = self._phrase_finder()

    def ask(self, finder: Finder | None) -> None:
        """Let a trained finder decide what phrases mean where nothing is surely detected."""
        self._finder = finder
        self._phrases = self._phrase_finder()

    def segment_by(self, segmenter: PhraseSegmenter | None) -> None:
        """Let a phrase segmenter decide what phrases mean; None: the detector and the finder."""
        self._segmenter = segmenter
        self._phrases = self._phrase_finder()

    def _phrase_finder(self) -> PhraseFinder:
        detects, finder, segmenter = self._detector is not None, self._finder, self._segmenter
        return PhraseFinder(self._matcher, self._namer, self._closer, detects, finder, segmenter)

    def read(
        self, frame: Frame, features: Features | None = None, tracked: Sequence[Region] = ()
    ) -> SceneView:
        """The frame's things; live masklets come first and keep their track ids."""
        features = features or self._backbone.features(frame.image)
        detections = self.detect(frame.image)
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
        seen = sightings(frame.image, self.detect(frame.image), masks)
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
        region = self._namer.at(view.frame, mask, view.detections)
        if region is None:
            raise PromptError("expected a mask with at least one pixel, got an empty one")
        return region

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
        return self._phrases.find(view, phrase)

    def find_all(self, view: SceneView, phrase: str) -> tuple[GroundedRegion, ...]:
        """Every thing that a phrase names, surest first; raises PromptError where there is none."""
        return self._phrases.find_all(view, phrase)

    def meaning(self, phrase: str) -> Posterior:
        """[C] how well each class fits a phrase, by rules."""
        return self._phrases.meaning(phrase)

    def detect(self, image: Image) -> tuple[Detection, ...]:
        """What is detected in a picture, surest first; nothing without a detector.

        A picture that was looked at last is not looked at again.
        """
        if self._detector is None:
            return ()
        last = self._looked  # read once: threads share the reader
        if last is not None and last[0]() is image:
            return last[1]
        found = self._detector.detect(image)
        self._looked = weakref.ref(image), found
        return found

    def spotter(self) -> Spotter:
        """What looks for named things in picture after picture."""
        return Spotter(self._detector is not None, self._segmenter)

    def notice(self, view: SceneView, match: Posterior) -> Noticed | None:
        """Where in a view a [C] match of classes is, as the classifier sees it."""
        return self._closer.notice(view, match)

    def whole_region(self, view: SceneView) -> GroundedRegion:
        """What the whole picture is named after: the part that speaks for its best name.

        A close-up is named better as a picture than by a part cut out of it, so the picture's
        names are kept.
        """
        match = np.zeros(len(view.whole_posterior), np.float32)
        match[int(view.whole_posterior.argmax())] = 1.0
        mask = self._closer.in_whole(view, match, WHOLE_PEAK)
        box = mask_box(mask)
        if box is None:
            height, width = view.frame.size
            mask, box = np.ones((height, width), bool), (0, 0, width, height)
        return GroundedRegion(mask, box, view.whole_posterior, view.whole, 1.0)

    def around(self, view: SceneView) -> tuple[GroundedRegion, ...]:
        """What else is there: names that several views of the frame agree on, surest first."""
        posteriors = [view.whole_posterior, *(thing.posterior for thing in view.things)]
        together = agreed([*posteriors, *self._closer.windows(view).posteriors])
        regions: list[GroundedRegion] = []
        for name in self._matcher.best(together):
            if name.probability < MIN_AGREED:
                break
            region = self._closer.in_windows(view, self._matcher.exactly(name.label))
            if region is None:
                continue
            if self._detector and told(region, name.label, self._matcher, view.detections):
                continue
            regions.append(replace(region, names=(name,)))
        return tuple(regions)

    def read_text(self, view: SceneView) -> tuple[TextLine, ...]:
        """Written words in the frame, from top to bottom."""
        return self.read_words(view.frame.image)

    def read_words(self, image: Image) -> tuple[TextLine, ...]:
        """The same in a picture that nobody has asked about."""
        return self._text.read(image)
