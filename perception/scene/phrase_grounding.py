"""From a phrase to the thing it means: what is detected first, then what was learnt or rules.

A phrase segmenter, where one is configured, decides alone: phrases are its prompt. Otherwise a
finder that was trained (the pointer of `reasoning/pixsearch`) is asked where the detector gives no
answer; without one, the classifier's posteriors decide against fixed gates.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from perception.detect.detector import Detection
from perception.scene.detections import fits, match, meant_as, sight, unseen, wanted
from perception.scene.grounded_region import GroundedRegion, SceneView
from perception.scene.instances import PhraseInstance, PhraseSegmenter
from perception.scene.localisation import CloserLook
from perception.scene.name_matching import Name, NameMatcher, Posterior, words_of
from perception.scene.region_naming import Namer
from stream.errors import PromptError
from stream.frame import Mask
from stream.geometry import mask_iou

MIN_PHRASE_FIT = 0.12  # below it nothing in view is what a phrase says
MIN_WINDOW_FIT = 0.3  # the same for windows, which are many and so more often wrong
DOUBTED = 0.5  # both, for what the detector knows and does not see
MIN_DETECTED = 0.25  # probability from which a detection answers a phrase
MIN_COUNTED = 0.4  # the same for each one after the first
MIN_POINTED = 0.45  # expected overlap from which something is said to be in view
SAME_THING = 0.5  # overlap from which an instance is what a masklet follows


@dataclass(frozen=True, slots=True, eq=False)
class Pointed:
    """What a trained finder takes a phrase to mean."""

    mask: Mask  # [H, W], not empty
    sure: float  # 0..1, expected overlap with what is meant


Finder = Callable[[SceneView, str], Pointed | None]


class PhraseFinder:
    """Finds what phrases name in views."""

    def __init__(
        self,
        matcher: NameMatcher,
        namer: Namer,
        closer: CloserLook,
        detects: bool,
        finder: Finder | None = None,
        segmenter: PhraseSegmenter | None = None,
    ) -> None:
        """`detects`: views carry a detector's finds, so what it does not see can be doubted."""
        self._matcher, self._namer, self._closer = matcher, namer, closer
        self._detects, self._finder, self._segmenter = detects, finder, segmenter

    def find(self, view: SceneView, phrase: str) -> GroundedRegion:
        """The thing a phrase names; raises PromptError when nothing in view fits it."""
        if self._segmenter is not None:
            return self._segmented(self._segmenter, view, phrase)[0]
        detected = fits(phrase, view.detections, MIN_DETECTED)
        if detected:
            return self._meant(view, phrase, detected[0])
        found = self._by_rules(view, phrase) if self._finder is None else self._asked(view, phrase)
        if found is None:
            raise PromptError(f"expected something in view that fits {phrase!r}, found nothing")
        return found

    def find_all(self, view: SceneView, phrase: str) -> tuple[GroundedRegion, ...]:
        """Every thing that a phrase names, surest first; raises PromptError where there is none."""
        if self._segmenter is not None:
            return self._segmented(self._segmenter, view, phrase)
        detected = fits(phrase, view.detections, MIN_DETECTED)
        if not detected:
            first = self.find(view, phrase)
            label = first.names[0].label
            return tuple(t for t in view.things if t.names[0].label == label) or (first,)
        counted = [one for one in detected[1:] if one.probability >= MIN_COUNTED]
        return tuple(self._meant(view, phrase, one) for one in (detected[0], *counted))

    def _segmented(
        self, segmenter: PhraseSegmenter, view: SceneView, phrase: str
    ) -> tuple[GroundedRegion, ...]:
        """The segmenter's instances, surest first; raises PromptError where it sees none."""
        found = segmenter.segment(view.frame.image, phrase)
        regions = tuple(self._instance(view, phrase, one) for one in found.instances)
        if not regions:
            raise PromptError(
                f"expected something in view that fits {phrase!r}, found nothing (presence "
                f"{found.presence:.2f})"
            )
        return regions

    def _instance(self, view: SceneView, phrase: str, one: PhraseInstance) -> GroundedRegion:
        """An instance by the phrase's own words; a masklet there keeps its id and its mask."""
        region = self._namer.at(view.frame, one.mask, view.detections)
        assert region is not None  # an instance's mask is not empty
        region = replace(region, names=(Name(" ".join(words_of(phrase)), one.score),))
        for thing in view.things:
            if thing.track_id is not None and mask_iou(thing.mask, one.mask) >= SAME_THING:
                return replace(region, mask=thing.mask, box=thing.box, track_id=thing.track_id)
        return region

    def meaning(self, phrase: str) -> Posterior:
        """[C] how well each class fits a phrase."""
        if not self._detects:
            return self._matcher.match(phrase)
        return wanted(self._matcher, phrase)

    def _asked(self, view: SceneView, phrase: str) -> GroundedRegion | None:
        """What the trained finder points at, under its own name or, where that says something
        else, under the phrase's."""
        assert self._finder is not None
        pointed = self._finder(view, phrase)
        if pointed is None or pointed.sure < MIN_POINTED:
            return None
        known = (one for one in view.things if one.mask is pointed.mask)
        region = next(known, None) or self._namer.at(view.frame, pointed.mask, view.detections)
        if region is None or float(region.posterior @ self.meaning(phrase)) >= MIN_PHRASE_FIT:
            return region
        name = Name(" ".join(words_of(phrase)), pointed.sure)
        return replace(region, names=(name,))

    def _by_rules(self, view: SceneView, phrase: str) -> GroundedRegion | None:
        meant = self.meaning(phrase)
        part, window = self._gates(view, phrase)

        def rank(thing: GroundedRegion) -> float:
            # Of several parts that fit, the one that stands out (or is followed) is meant.
            return float(thing.posterior @ meant) * (0.5 + 0.5 * thing.saliency)

        ranked = sorted(view.things, key=rank, reverse=True)
        if ranked and float(ranked[0].posterior @ meant) >= part:
            return ranked[0]
        if float(view.whole_posterior @ meant) >= part:
            region = self._namer.at(view.frame, self._closer.in_whole(view, meant), view.detections)
            if region is not None:
                return region
        fit = self._closer.windows(view).best(meant)[1] if meant.any() else 0.0
        found = self._closer.in_windows(view, meant) if fit >= window else None
        if found is None or float(found.posterior @ meant) >= MIN_PHRASE_FIT:
            return found
        # The window's own fit is what decided; a part cut out of it may be named worse.
        return replace(found, names=self._matcher.best(meant * fit))

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
        if self._detects and unseen(phrase, view.detections):
            return DOUBTED, DOUBTED
        return MIN_PHRASE_FIT, MIN_WINDOW_FIT
