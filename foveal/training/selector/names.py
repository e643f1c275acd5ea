"""Which class names a phrase means: what the selector learns of words, without pictures.

Rules (`perception.scene.detections.wanted`: words, kinds, a text encoder's neighbours)
are the teacher. The selector learns them from the language model's states, so that it needs neither
the rules nor the encoder, and is then corrected by pictures.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from perception.detect.coco import EVERYDAY
from perception.scene.class_hierarchy import kinds
from perception.scene.detections import wanted
from perception.scene.name_matching import NameMatcher

KIND = 0.7  # how well the detector's name fits a phrase that means a kind of it
LOOKS = (
    *("red", "blue", "green", "white", "black", "yellow", "brown", "small", "big", "old", "new"),
    *("wooden", "open", "dirty", "round", "empty", "left", "other", "same", "little", "nearest"),
)
MAX_TITLE = 3  # words


def phrases(classes: Sequence[Sequence[str]], titles: Sequence[str], seed: int = 0) -> list[str]:
    """Class names with all their synonyms, everyday ones with adjectives, and titles of entries."""
    rng = np.random.default_rng(seed)
    names = {name.lower() for synonyms in classes for name in synonyms}
    everyday = [name for synonyms in EVERYDAY for name in synonyms]
    looks = {f"{LOOKS[int(rng.integers(len(LOOKS)))]} {name}" for name in everyday for _ in "ab"}
    plain = {title.lower() for title in titles if is_plain(title)}
    return sorted(names | looks | plain)


def meanings(matcher: NameMatcher, asked: Sequence[str]) -> Tensor:
    """[N, C] float16 in 0..1: how well each class fits each phrase, by those rules.

    What is a kind of an everyday thing may have been detected under that thing's name.
    """
    rows = [torch.from_numpy(wanted(matcher, phrase)) for phrase in asked]
    table = torch.stack(rows)
    first = table.shape[1] - len(EVERYDAY)
    for label, members in enumerate(kinds()):
        if members:
            fit = KIND * table[:, list(members)].amax(1)
            table[:, first + label] = torch.maximum(table[:, first + label], fit)
    return table.half()


def is_plain(title: str) -> bool:
    """A common noun of a few words, as far as its spelling tells."""
    words = title.split()
    if not 0 < len(words) <= MAX_TITLE or not title.isascii():
        return False
    return all(word.isalpha() for word in words) and not any(w[0].isupper() for w in words[1:])
