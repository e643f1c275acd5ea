"""A view and a phrase's words -> the mask of what is meant, as the pointer chooses it.

Cheap finds come first, and the next ones only where nothing is surely meant: what the frame was
read with, then the detector's look at parts of the frame (for what it knows), then what the
classifier notices in windows. A view's finds, and masks, are kept while somebody holds the view.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from perception.detect.detector import Detection
from perception.masks.cutter import Cutter
from perception.scene.localisation import Noticed
from perception.scene.name_matching import Posterior
from perception.scene.phrase_grounding import Pointed
from perception.scene.recogniser import EVERYDAY
from perception.scene.view import SceneView
from reasoning.generation.settings import GroundConfig
from reasoning.pixsearch.candidates import Offer, Offers, closer_offers, offers_of, shown_of
from reasoning.pixsearch.region_selector import NOTICED, PROPOSED, Embed, Pointer, covers
from stream.frame import Image, Mask

KNOWN = 0.3  # fit of one of the detector's names from which it is asked again


class Looks(Protocol):
    """What is asked of perception (`perception.scene.reader.SceneReader`)."""

    def detect(self, image: Image) -> Sequence[Detection]: ...

    def notice(self, view: SceneView, match: Posterior) -> Noticed | None: ...


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """What was chosen for a phrase."""

    mask: Mask  # [H, W]; empty where nothing was seen, or nothing that may be meant
    sure: float  # 0..1, expected overlap with what is meant; without a pointer the presence


@dataclass(slots=True, eq=False)
class Finds:
    """What a view has shown so far."""

    whole: Offers
    parts: Offers | None = None
    masks: dict[int, Mask] = field(default_factory=dict)  # of `whole`, then of `parts`


class Pointing:
    """The pointer with what it looks at; sessions may share one."""

    def __init__(
        self,
        pointer: Pointer,
        embed: Embed,
        looks: Looks,
        cutter: Cutter,
        config: GroundConfig | None = None,
    ) -> None:
        self._pointer, self._embed = pointer.eval(), embed
        self._looks, self._cutter = looks, cutter
        self._config = config or GroundConfig()
        self._finds: WeakKeyDictionary[SceneView, Finds] = WeakKeyDictionary()

    def __call__(self, view: SceneView, phrase: str) -> Pointed | None:
        """What a phrase means, or None: a finder for `perception.scene.reader.SceneReader.ask`."""
        if not phrase.strip():
            return None
        choice = self.choose(view, self._embed(phrase)[None])
        return Pointed(choice.mask, choice.sure) if choice.mask.any() else None

    def choose(self, view: SceneView, words: Tensor, covered: Tensor | None = None) -> Choice:
        """[1, D] mean word embedding of a phrase -> what it means.

        `covered` [h, w], 0..1, is what was masked before. The mask is empty where the expected
        overlap is below the gate.
        """
        if view not in self._finds:
            self._finds[view] = Finds(offers_of(view))
        finds = self._finds[view]
        with torch.inference_mode():
            fits = self._pointer.fits(words)[0]
            covered = torch.zeros(1, 1) if covered is None else covered
            offers, sure = finds.whole, self._expected(fits, finds.whole, covered)
            if self._config.looks and not self._surely(sure):
                offers, sure = self._closer(view, finds, fits, covered)
        if not len(sure) or float(sure.max()) < self._config.point_gate:
            best = float(sure.max()) if len(sure) else 0.0
            return Choice(np.zeros(view.frame.size, bool), best)
        number = int(sure.argmax())
        return Choice(self._mask(view, finds, offers, number), float(sure[number]))

    def _closer(
        self, view: SceneView, finds: Finds, fits: Tensor, covered: Tensor
    ) -> tuple[Offers, Tensor]:
        """The same after closer looks."""
        offers, meant = finds.whole, fits.sigmoid()
        sure = torch.zeros(0)
        if float(meant[-len(EVERYDAY) :].max()) >= KNOWN:
            finds.parts = finds.parts or self._parts(view)
            offers = offers.plus(finds.parts)
            sure = self._expected(fits, offers, covered)
            if self._surely(sure):
                return offers, sure
        noticed = self._looks.notice(view, meant.numpy())
        if noticed is not None:
            offers = offers.plus(noticed_offer(view, noticed))
        return offers, self._expected(fits, offers, covered)

    def _parts(self, view: SceneView) -> Offers:
        """What is detected in parts of the frame, and in all of it where nothing was known of it
        (`SceneReader.glance`: a later frame has its masklets alone)."""
        if view.detections:
            return closer_offers(view, self._looks.detect)
        seen = replace(view, things=(), detections=tuple(self._looks.detect(view.frame.image)))
        return offers_of(seen).plus(closer_offers(seen, self._looks.detect))

    def _expected(self, fits: Tensor, offers: Offers, covered: Tensor) -> Tensor:
        """[K] 0..1: how much of what is meant each thing is expected to share."""
        if not offers.things:
            return torch.zeros(0)
        seen = covers(covered, offers.shown.boxes)
        expected: Tensor = self._pointer(fits, offers.shown, seen).sigmoid()
        return expected

    def _surely(self, sure: Tensor) -> bool:
        return bool(len(sure)) and float(sure.max()) >= self._config.point_sure

    def _mask(self, view: SceneView, finds: Finds, offers: Offers, number: int) -> Mask:
        if offers.shown.sources[number] == NOTICED:
            return cut(self._cutter, view, offers, number)
        if number not in finds.masks:
            finds.masks[number] = cut(self._cutter, view, offers, number)
        return finds.masks[number]


def noticed_offer(view: SceneView, noticed: Noticed) -> Offers:
    """What was noticed, as one more thing."""
    region = noticed.region
    place = Offer(region.box, region.mask)
    classes = len(view.whole_posterior)
    size = view.frame.size
    shown = shown_of([region.posterior], [place], [noticed.fit], (NOTICED,), size, classes)
    return Offers(shown, (place,))


def cut(cutter: Cutter, view: SceneView, offers: Offers, number: int) -> Mask:
    """The mask [H, W] of one thing."""
    place, image = offers.things[number], view.frame.image
    if place.mask is None:
        return cutter.from_box(image, place.box)
    if offers.shown.sources[number] == PROPOSED and _is_tracked(view, place):
        return place.mask
    return cutter.sharpen(image, place.mask)


def _is_tracked(view: SceneView, place: Offer) -> bool:
    return any(t.mask is place.mask and t.track_id is not None for t in view.things)
