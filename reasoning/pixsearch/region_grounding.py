"""A view and a phrase's words -> the mask of what is meant, as the region selector chooses it.

Cheap candidates come first, and the next ones only where nothing is surely meant: what the frame
was read with, then the detector's look at parts of the frame (for what it knows), then what the
classifier notices in windows. A view's candidates and masks are kept while somebody holds the view.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from perception.detect.coco import EVERYDAY
from perception.detect.detector import Detection
from perception.masks.cutter import Cutter
from perception.scene.grounded_region import SceneView
from perception.scene.localisation import Noticed
from perception.scene.name_matching import Posterior
from perception.scene.phrase_grounding import Pointed
from reasoning.generation.config import GroundConfig
from reasoning.pixsearch.candidates import (
    RegionCandidate,
    RegionCandidates,
    candidates_of,
    closer_candidates,
    features_of,
)
from reasoning.pixsearch.region_selector import NOTICED, PROPOSED, Embed, RegionSelector, covers
from stream.frame import Image, Mask

KNOWN = 0.3  # fit of one of the detector's names from which it is asked again


class CandidateSource(Protocol):
    """What is asked of perception (`perception.scene.reader.SceneReader`)."""

    def detect(self, image: Image) -> Sequence[Detection]: ...

    def notice(self, view: SceneView, match: Posterior) -> Noticed | None: ...


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """What was chosen for a phrase."""

    mask: Mask  # [H, W]; empty where nothing was seen, or nothing that may be meant
    sure: float  # 0..1, expected overlap with what is meant


@dataclass(slots=True, eq=False)
class ViewCandidates:
    """What was found in a view so far."""

    whole: RegionCandidates
    parts: RegionCandidates | None = None
    masks: dict[int, Mask] = field(default_factory=dict)  # of `whole`, then of `parts`


class PhraseGrounder:
    """The region selector with what it looks at; sessions may share one."""

    def __init__(
        self,
        selector: RegionSelector,
        embed: Embed,
        source: CandidateSource,
        cutter: Cutter,
        config: GroundConfig | None = None,
    ) -> None:
        self._selector, self._embed = selector.eval(), embed
        self._source, self._cutter = source, cutter
        self._config = config or GroundConfig()
        self._views: WeakKeyDictionary[SceneView, ViewCandidates] = WeakKeyDictionary()

    def __call__(self, view: SceneView, phrase: str) -> Pointed | None:
        """What a phrase means, or None: a finder for `perception.scene.reader.SceneReader.ask`."""
        if not phrase.strip():
            return None
        choice = self.choose(view, self._embed(phrase)[None])
        return Pointed(choice.mask, choice.sure) if choice.mask.any() else None

    def choose(self, view: SceneView, words: Tensor, covered: Tensor | None = None) -> Selection:
        """[1, D] mean word embedding of a phrase -> what it means.

        `covered` [h, w], 0..1, is what was masked before. The mask is empty where the expected
        overlap is below the gate.
        """
        if view not in self._views:
            self._views[view] = ViewCandidates(candidates_of(view))
        seen = self._views[view]
        with torch.inference_mode():
            fits = self._selector.fits(words.to(self._selector.middle.device))[0]
            covered = torch.zeros(1, 1) if covered is None else covered
            candidates, sure = seen.whole, self._expected(fits, seen.whole, covered)
            if self._config.closer_looks and not self._surely(sure):
                candidates, sure = self._closer(view, seen, fits, covered)
        if not len(sure) or float(sure.max()) < self._config.gate:
            best = float(sure.max()) if len(sure) else 0.0
            return Selection(np.zeros(view.frame.size, bool), best)
        number = int(sure.argmax())
        return Selection(self._mask(view, seen, candidates, number), float(sure[number]))

    def _closer(
        self, view: SceneView, seen: ViewCandidates, fits: Tensor, covered: Tensor
    ) -> tuple[RegionCandidates, Tensor]:
        """The same after closer looks."""
        candidates, meant = seen.whole, fits.sigmoid()
        sure = torch.zeros(0)
        if float(meant[-len(EVERYDAY) :].max()) >= KNOWN:
            seen.parts = seen.parts or self._parts(view)
            candidates = candidates.plus(seen.parts)
            sure = self._expected(fits, candidates, covered)
            if self._surely(sure):
                return candidates, sure
        noticed = self._source.notice(view, meant.cpu().numpy())
        if noticed is not None:
            candidates = candidates.plus(noticed_candidate(view, noticed))
        return candidates, self._expected(fits, candidates, covered)

    def _parts(self, view: SceneView) -> RegionCandidates:
        """What is detected in parts of the frame, and in all of it where nothing was known of it
        (`SceneReader.glance`: a later frame has its masklets alone)."""
        if view.detections:
            return closer_candidates(view, self._source.detect)
        seen = replace(view, things=(), detections=tuple(self._source.detect(view.frame.image)))
        return candidates_of(seen).plus(closer_candidates(seen, self._source.detect))

    def _expected(self, fits: Tensor, candidates: RegionCandidates, covered: Tensor) -> Tensor:
        """[K] 0..1: how much of what is meant each thing is expected to share."""
        if not candidates.things:
            return torch.zeros(0)
        seen = covers(covered, candidates.features.boxes).to(fits.device)
        features = candidates.features.to(fits.device)
        expected: Tensor = self._selector(fits, features, seen).sigmoid()
        return expected.cpu()

    def _surely(self, sure: Tensor) -> bool:
        return bool(len(sure)) and float(sure.max()) >= self._config.sure

    def _mask(
        self, view: SceneView, seen: ViewCandidates, candidates: RegionCandidates, number: int
    ) -> Mask:
        if candidates.features.sources[number] == NOTICED:
            return cut(self._cutter, view, candidates, number)
        if number not in seen.masks:
            seen.masks[number] = cut(self._cutter, view, candidates, number)
        return seen.masks[number]


def noticed_candidate(view: SceneView, noticed: Noticed) -> RegionCandidates:
    """What was noticed, as one more thing."""
    region = noticed.region
    place = RegionCandidate(region.box, region.mask)
    classes = len(view.whole_posterior)
    size = view.frame.size
    features = features_of([region.posterior], [place], [noticed.fit], (NOTICED,), size, classes)
    return RegionCandidates(features, (place,))


def cut(cutter: Cutter, view: SceneView, candidates: RegionCandidates, number: int) -> Mask:
    """The mask [H, W] of one thing."""
    place, image = candidates.things[number], view.frame.image
    if place.mask is None:
        return cutter.from_box(image, place.box)
    if candidates.features.sources[number] == PROPOSED and _is_tracked(view, place):
        return place.mask
    return cutter.sharpen(image, place.mask)


def _is_tracked(view: SceneView, place: RegionCandidate) -> bool:
    return any(t.mask is place.mask and t.track_id is not None for t in view.things)
