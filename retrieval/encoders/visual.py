"""Pictures and regions to entries: ConSE in the joint space, and agreement of names.

A region is looked at in two views (`region_views`); their posteriors are averaged. The
ConSE vector finds entities near the mixture of class names; an entity whose title is the name of
a probable class ("orange" -> "Orange (fruit)") gains that class's probability.
"""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from retrieval.encoders.conse import ImageClassifier, Posteriors
from retrieval.encoders.text import Vectors
from retrieval.sources.entries import Entry
from retrieval.sources.sentences import search_words
from stream.crops import region_views
from stream.errors import QueryError
from stream.frame import Image
from stream.geometry import Box, Rle, decode_mask, mask_box

# What a camera sees are things: entries about people, events and ideas are unlikely to be the
# name of a region. Cosines are shifted by this much; topics not named here are not shifted.
TOPIC_SHIFT: Mapping[str, float] = {
    "People": -0.15,
    "History": -0.10,
    "Philosophy and religion": -0.10,
    "Mathematics": -0.15,
    "Society and social sciences": -0.10,
    "Geography": -0.05,
    "Arts": -0.05,
    "Physical sciences": -0.05,
}
NAME_WEIGHT = 0.35  # of name agreement against cosine, chosen on imagenet-samples
HEAD_NOUN = 0.5  # "sports car" names "Car" half as surely as "car" does


def query_posteriors(
    classifier: ImageClassifier, image: Image, mask: Rle | None
) -> tuple[Posteriors, Box | None]:
    """[1, C] posteriors of a picture or a region of it, and the region's box."""
    if mask is None:
        return classifier.classify([image], [None]), None
    if mask.size != image.shape[:2]:
        raise QueryError(
            f"expected a mask of the picture's size {image.shape[:2]}, got {mask.size}"
        )
    decoded = decode_mask(mask)
    pictures = region_views(image, decoded)
    views = classifier.classify(pictures, [None] * len(pictures))
    return views.mean(axis=0, keepdims=True), mask_box(decoded)


def topic_shifts(entries: Sequence[Entry]) -> Vectors:
    """[E] float32 to add to the cosine of an image or region query."""
    return np.array([TOPIC_SHIFT.get(entry.topic, 0.0) for entry in entries], np.float32)


class NameLinks:
    """Which entries a class name speaks of: [L] class, entry and strength of each link."""

    def __init__(self, entries: Sequence[Entry], classes: Sequence[Sequence[str]]) -> None:
        """`classes` gives each class's names, the best known first."""
        titles = _title_table(entries)
        links = [
            (number, entry, strength)
            for number, names in enumerate(classes)
            for entry, strength in _links(names, titles).items()
        ]
        table = np.array(links, np.float64).reshape(-1, 3)
        self._class: npt.NDArray[np.int64] = table[:, 0].astype(np.int64)
        self._entry: npt.NDArray[np.int64] = table[:, 1].astype(np.int64)
        self._strength = table[:, 2].astype(np.float32)
        self._count = len(entries)

    def agreement(self, posteriors: Posteriors) -> Vectors:
        """[C] posteriors of one query -> [E] float32 in 0..1."""
        scores = np.zeros(self._count, np.float32)
        np.add.at(scores, self._entry, posteriors[self._class] * self._strength)
        return np.minimum(scores, 1.0)


def _title_table(entries: Sequence[Entry]) -> dict[tuple[str, ...], list[int]]:
    table: dict[tuple[str, ...], list[int]] = {}
    for number, entry in enumerate(entries):
        if TOPIC_SHIFT.get(entry.topic, 0.0) > -0.1:
            title = re.sub(r"\s*\([^)]*\)$", "", entry.title)
            table.setdefault(tuple(search_words(title)), []).append(number)
    return table


def _links(
    names: Sequence[str], titles: Mapping[tuple[str, ...], Sequence[int]]
) -> dict[int, float]:
    found: dict[int, float] = {}
    for name in names:
        words = tuple(search_words(name))
        tails = [(words, 1.0)] + [(words[cut:], HEAD_NOUN) for cut in range(1, len(words))]
        for tail, strength in tails:
            for entry in titles.get(tail, ()):
                found[entry] = max(found.get(entry, 0.0), strength)
    return found
