"""Masks of a frame -> regions with names: the classifier's look, corrected by what was detected."""

from collections.abc import Sequence
from dataclasses import dataclass

from perception.detect.detector import Detection
from perception.scene.detections import Sighting, alone, fused, match, names_with, prominence
from perception.scene.grounded_region import GroundedRegion
from perception.scene.name_matching import Name, NameMatcher, Posterior
from perception.scene.recogniser import Recogniser
from stream.events import Region
from stream.frame import Frame, Mask
from stream.geometry import Box, decode_mask, mask_box, share_inside

PART, SURE_PART = 0.5, 0.45  # share inside a detection; a name that makes it a thing of its own


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A mask to be named."""

    mask: Mask
    saliency: float
    track_id: int | None = None
    detection: Detection | None = None  # of the same thing


class Namer:
    """Names masks."""

    def __init__(self, recogniser: Recogniser, matcher: NameMatcher) -> None:
        self._recogniser, self._matcher = recogniser, matcher

    def name(self, frame: Frame, found: Sequence[Found]) -> tuple[GroundedRegion, ...]:
        """One region for each mask that is not empty; the crops go through in one batch."""
        shown = [(one, box) for one in found if (box := mask_box(one.mask)) is not None]
        posteriors = self._recogniser.classify(
            [frame.image] * len(shown), [one.mask for one, _ in shown]
        )
        return tuple(
            self._region(one, box, posterior)
            for (one, box), posterior in zip(shown, posteriors, strict=True)
        )

    def at(
        self, frame: Frame, mask: Mask, detections: Sequence[Detection]
    ) -> GroundedRegion | None:
        """One mask of a frame with its names; None for an empty one."""
        box = mask_box(mask)
        if box is None:
            return None
        return self.name(frame, [Found(mask, 1.0, None, match(box, detections))])[0]

    def as_detected(self, sighting: Sighting) -> GroundedRegion:
        """A detection as a region, without a look at what it is."""
        found = sighting.detection
        posterior = alone(found, len(self._recogniser.class_names))
        names = (Name(found.name, found.probability),)
        saliency = prominence(found, sighting.mask.shape)
        return GroundedRegion(sighting.mask, sighting.box, posterior, names, saliency)

    def _region(self, one: Found, box: Box, posterior: Posterior) -> GroundedRegion:
        if one.detection is None:
            names = self._matcher.best(posterior)
        else:
            names = names_with(self._matcher, posterior, one.detection)
            posterior = fused(posterior, one.detection)
        return GroundedRegion(one.mask, box, posterior, names, one.saliency, one.track_id)


def held(tracked: Sequence[Region], detections: Sequence[Detection] = ()) -> list[Found]:
    """Masklets in view."""
    return [
        Found(decode_mask(one.mask), one.score, one.track_id, match(one.box, detections))
        for one in tracked
        if one.box is not None
    ]


def as_found(one: Sighting) -> Found:
    """A detection whose mask the classifier shall look at."""
    saliency = prominence(one.detection, one.mask.shape)
    return Found(one.mask, saliency, None, one.detection)


def believable(regions: Sequence[GroundedRegion], seen: Sequence[Sighting]) -> list[GroundedRegion]:
    """Without those that are parts of something detected, unless they are surely something else."""
    return [
        region
        for region in regions
        if region.score >= SURE_PART
        or all(share_inside(region.mask, one.mask) < PART for one in seen)
    ]
