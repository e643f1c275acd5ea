"""Whether named things are in picture after picture: what standing questions look with.

Only what finds a thing by itself counts: the detector for its eighty names, a phrase segmenter for
any words. The classifier names what it is shown and errs too often where nobody asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from perception.detect.detector import Detection, distinct
from perception.features.backbone import Features
from perception.reid.reidentifier import AppearanceModel, ReIdentifier, described
from perception.scene.class_hierarchy import EXACT, fitting
from perception.scene.detections import LIKELY, fits, meant_as
from perception.scene.instances import PhraseSegmenter
from stream.events import Region
from stream.frame import Image, Mask
from stream.geometry import Box, decode_mask, mask_box

Sees = Literal["exactly", "as", "no"]  # the thing itself; a wider name of it; not at all

LEAST = 1e-6  # probability: whatever the phrase means
FOLLOWED = 0.9  # probability of a masklet that is in view: its look was compared


@dataclass(frozen=True, slots=True, eq=False)
class SpottedThing:
    """Where a thing is, and how surely."""

    probability: float  # 0..1
    name: str = ""
    box: Box | None = None
    mask: Mask | None = None  # [H, W], where it came with the box
    track_id: int | None = None


NOWHERE = SpottedThing(0.0)


class Spotter:
    """Looks for things by their words. Keeps nothing of a picture."""

    def __init__(self, detects: bool, segmenter: PhraseSegmenter | None = None) -> None:
        self.detects, self._segmenter = detects, segmenter

    @property
    def any_words(self) -> bool:
        """Whether any words can be looked for."""
        return self._segmenter is not None

    def sees(self, phrase: str) -> tuple[Sees, str]:
        """Whether it can look for a phrase, and by which name."""
        if self._segmenter is not None:
            return "exactly", phrase
        if not self.detects:
            return "no", ""
        meant = fitting(phrase)
        if not meant:
            return "no", ""
        label, weight = max(meant.items(), key=lambda one: one[1])
        name = meant_as(phrase, Detection(label, 1.0, (0, 0, 1, 1))).label
        return ("exactly" if weight >= EXACT or len(meant) > 1 else "as"), name

    def spot(self, phrase: str, image: Image, detections: Sequence[Detection]) -> SpottedThing:
        """The surest thing that a phrase means in a [H, W, 3] picture with these detections."""
        if self._segmenter is not None:
            return self._segmented(self._segmenter, phrase, image)
        found = fits(phrase, detections, LEAST)
        if not found:
            return NOWHERE
        best = max(found, key=lambda one: one.probability)
        return SpottedThing(best.probability, meant_as(phrase, best).label, best.box)

    def again(
        self,
        looks: torch.Tensor,
        track_id: int | None,
        features: Features,
        regions: Sequence[Region],
        detections: Sequence[Detection],
    ) -> SpottedThing:
        """One certain thing of a [C] look: its own masklet, or something that looks like it."""
        for region in regions:
            if region.track_id == track_id and region.box is not None:
                mask = decode_mask(region.mask)
                return SpottedThing(FOLLOWED, "", region.box, mask, track_id)
        known, reid = {0: AppearanceModel(looks[None])}, ReIdentifier()
        best, alike = NOWHERE, 0.0
        for one in distinct(detections):
            mask = np.zeros(features.image_size, bool)
            mask[one.box[1] : one.box[3], one.box[0] : one.box[2]] = True
            shown = described(features, mask)
            likeness = known[0].likeness(shown)
            if one.probability >= LIKELY and likeness > alike:
                same = reid.recognised(known, shown) is not None
                best, alike = (SpottedThing(likeness, "", one.box) if same else NOWHERE), likeness
        return best

    def _segmented(self, segmenter: PhraseSegmenter, phrase: str, image: Image) -> SpottedThing:
        found = segmenter.segment(image, phrase)
        if not found.instances:
            return NOWHERE
        best = found.instances[0]
        probability = min(found.presence, best.score)
        return SpottedThing(probability, phrase, mask_box(best.mask), best.mask)
