"""What the detector sees, as regions with masks and names; it corrects the classifier's names.

The classifier knows a thousand kinds but errs on everyday things that fill no window; the detector
knows eighty and where they are. Where both speak of the same thing, the classifier's name is kept
when it is a kind of the detector's ("sports car" of "car"), and counts for what the detector's
doubt leaves when it is not.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from perception.detect.coco import EVERYDAY
from perception.detect.detector import SAME_PLACE_IOU, Detection, distinct, overlaps
from perception.masks.grabcut import mask_from_box
from perception.scene.class_hierarchy import EXACT, fitting, has_finer, kinds
from perception.scene.grounded_region import GroundedRegion, holds
from perception.scene.name_matching import Name, NameMatcher, Posterior, words_of
from stream.frame import Image, Mask
from stream.geometry import Box, Point, mask_box, mask_iou

LIKELY = 0.4  # probability from which a detection is shown as a thing
SAME_BOX = 0.5  # overlap of boxes from which a region is what was detected
SAME_MASK = 0.4  # the same of masks
FINER = 0.3  # the classifier's probability from which a kind is said instead of its class
FINER_SHARE = 0.6  # its share of all that the classifier holds for the class
SURE = 0.6  # probability from which the classifier is asked for finer names only
TINY = 0.002  # share of the picture below which the classifier sees too little
TOLD = 0.15  # probability below which the detector says that a class is not there
RIVAL = 0.5  # of a surer name's probability in the same place, that another name needs
MAX_THINGS = 6
FULL_SIZE = 0.04  # share of the picture from which a thing is as prominent as it gets
NAMES = 3


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """A detection with the thing's mask."""

    detection: Detection
    mask: Mask
    box: Box  # of the mask


def sightings(
    image: Image,
    detections: Sequence[Detection],
    held: Sequence[Mask] = (),
    limit: int = MAX_THINGS,
) -> list[Sighting]:
    """The likely detections that no held mask covers, most prominent first, with their masks."""
    size = image.shape[:2]
    boxes = [box for mask in held if (box := mask_box(mask)) is not None]
    found: list[Sighting] = []
    for one in sorted(distinct(detections), key=lambda one: -prominence(one, size)):
        if len(found) == limit:
            break
        known = any(float(overlaps(box, [one])[0]) >= SAME_BOX for box in boxes)
        if known or one.probability < LIKELY:
            continue
        sighting = sight(image, one)
        if all(mask_iou(sighting.mask, mask) < SAME_MASK for mask in held):
            found.append(sighting)
    return found


def sight(image: Image, detection: Detection) -> Sighting:
    """A detection with what fills its box."""
    mask = mask_from_box(image, detection.box)
    return Sighting(detection, mask, mask_box(mask) or detection.box)


def prominence(detection: Detection, size: tuple[int, ...]) -> float:
    """0..1: sure, large, and near the middle."""
    x0, y0, x1, y1 = detection.box
    off_x, off_y = (x0 + x1) / 2 / size[1] - 0.5, (y0 + y1) / 2 / size[0] - 0.5
    central = float(np.exp(-(off_x**2 + off_y**2) / (2 * 0.4**2)))
    grown = min(1.0, _share(detection.box, size) / FULL_SIZE) ** 0.5
    return float(detection.probability * central * grown)


def match(box: Box, detections: Sequence[Detection]) -> Detection | None:
    """The detection of the thing in a box; None where none fits."""
    if not detections:
        return None
    shared = overlaps(box, detections)
    near = [one for one, iou in zip(detections, shared, strict=True) if iou >= SAME_BOX]
    return max(near, key=lambda one: one.probability, default=None)


def under(image: Image, point: Point, detections: Sequence[Detection]) -> Sighting | None:
    """The smallest likely thing whose mask holds a point; None where there is none."""
    x, y = point
    around = [
        one
        for one in distinct(detections)
        if one.probability >= LIKELY
        and one.box[0] <= x < one.box[2]
        and one.box[1] <= y < one.box[3]
    ]
    for one in sorted(around, key=lambda one: _share(one.box, image.shape[:2])):
        sighting = sight(image, one)
        if holds(sighting.mask, point):
            return sighting
    return None


def fits(phrase: str, detections: Sequence[Detection], least: float) -> list[Detection]:
    """The detections that a phrase means, surest first, one a place.

    What is far more surely something else is left out: a cat fits "dog" a little.
    """
    meant = fitting(phrase)
    others = [one for one in detections if one.label not in meant]

    def rivalled(one: Detection) -> bool:
        shared = overlaps(one.box, others)
        return any(
            iou > SAME_PLACE_IOU and RIVAL * other.probability > one.probability
            for iou, other in zip(shared, others, strict=True)
        )

    chosen = [one for one in detections if meant.get(one.label, 0.0) * one.probability >= least]
    return [one for one in distinct(chosen) if not rivalled(one)]


def unseen(phrase: str, detections: Sequence[Detection]) -> bool:
    """Whether a phrase means an everyday thing of which the detector sees no trace."""
    meant = fitting(phrase)
    return bool(meant) and not any(one.label in meant for one in detections)


def meant_as(phrase: str, detection: Detection) -> Name:
    """A detection by the phrase's own words where they are its name, else by its name."""
    exact = fitting(phrase).get(detection.label, 0.0) >= EXACT
    return Name(" ".join(words_of(phrase)) if exact else detection.name, detection.probability)


def fused(posterior: Posterior, detection: Detection) -> Posterior:
    """[C] what the classifier and the detector say together."""
    sure, own = detection.probability, _own(posterior, detection.label)
    members = [*kinds()[detection.label], own]
    inside = np.zeros_like(posterior)
    inside[members] = posterior[members]
    total = float(inside.sum())
    if total < FINER:
        inside[own] += FINER - total
    together = (1 - sure) * posterior + sure * inside / inside.sum()
    return np.asarray(together, np.float32)


def alone(detection: Detection, classes: int) -> Posterior:
    """[C] what the detector says where nothing else has looked."""
    posterior = np.zeros(classes, np.float32)
    posterior[_own(posterior, detection.label)] = detection.probability
    return posterior


def names_with(
    matcher: NameMatcher, posterior: Posterior, detection: Detection
) -> tuple[Name, ...]:
    """Names of a region by the classifier's [C] posterior and its detection, best first."""
    sure, label = detection.probability, detection.label
    own, members = _own(posterior, label), list(kinds()[label])
    inside = float(posterior[members].sum() + posterior[own])
    whole = sure + (1 - sure) * inside
    rest = (1 - sure) * posterior
    rest[[*members, own]] = 0.0
    found = [Name(EVERYDAY[label][0], whole)]
    if has_finer(label):
        best = members[int(posterior[members].argmax())]
        share = float(posterior[best]) / inside if inside else 0.0
        if posterior[best] >= FINER and share >= FINER_SHARE:
            finer = matcher.label(best)
            found = [Name(finer, whole * share), Name(found[0].label, whole * (1 - share))]
    found += [name for name in matcher.best(rest, NAMES) if name.probability > 0]
    return tuple(sorted(found, key=lambda name: -name.probability)[:NAMES])


def worth_a_look(one: Sighting) -> bool:
    """Whether the classifier may add something to what was detected."""
    found = one.detection
    return bool(one.mask.mean() >= TINY) and (found.probability < SURE or has_finer(found.label))


def wanted(matcher: NameMatcher, phrase: str) -> Posterior:
    """[C] in 0..1: how well each class fits a phrase.

    A phrase that names an everyday thing means it and its kinds, and no other everyday thing; one
    that is a class' own name means no neighbour of it: a pillow is no bed.
    """
    by_words = matcher.match(phrase, related=False)
    meant = fitting(phrase)
    if not meant:
        return by_words if by_words.max(initial=0.0) >= 1 else matcher.match(phrase)
    for label, members in enumerate(kinds()):
        by_words[[*members, _own(by_words, label)]] = meant.get(label, 0.0)
    return by_words


def told(
    region: GroundedRegion, label: str, matcher: NameMatcher, detections: Sequence[Detection]
) -> bool:
    """Whether a `label` that several views agree on adds nothing to what was detected.

    It does not where the same or a kind of it was detected, where it is an everyday thing or a kind
    of one that the detector does not see, or where it sees something else in its place.
    """
    classes = set(np.flatnonzero(matcher.exactly(label)).tolist())
    seen = {one.label for one in detections if one.probability >= LIKELY}
    hinted = {one.label for one in detections if one.probability >= TOLD}
    first = len(region.posterior) - len(EVERYDAY)
    if any(classes & {*kinds()[one], first + one} for one in seen):
        return True
    everyday = {n for n, members in enumerate(kinds()) if classes & {*members, first + n}}
    if everyday and not everyday & hinted:
        return True
    other = match(region.box, distinct(detections))
    return other is not None and other.probability >= LIKELY


def _own(posterior: Posterior, label: int) -> int:
    """EVERYDAY's names come last."""
    return len(posterior) - len(EVERYDAY) + label


def _share(box: Box, size: tuple[int, ...]) -> float:
    return (box[2] - box[0]) * (box[3] - box[1]) / (size[0] * size[1])
