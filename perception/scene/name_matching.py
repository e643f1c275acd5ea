"""What a region may be called, and how well a phrase fits a name.

Names are the classifier's classes. A phrase that is no class name is compared with them in the
text encoder's space, which makes pictures and phrases comparable (ConSE, Norouzi et al., 2014).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]  # [N, D], rows of unit length
Posterior = npt.NDArray[np.float32]  # [C], sums to 1

NEAR, SAME = 0.45, 0.8  # cosines of names: below NEAR unrelated, from SAME the same thing
RELATED_WEIGHT = 0.8  # a related name counts less than the name itself
HEAD_WEIGHT, WORD_WEIGHT = 1.0, 0.6  # the phrase's noun as a name's noun; anywhere in a name
_WORD = re.compile(r"[^\W_]+")
_IRREGULAR = {
    "buses": "bus",
    "children": "child",
    "geese": "goose",
    "knives": "knife",
    "leaves": "leaf",
    "loaves": "loaf",
    "men": "man",
    "mice": "mouse",
    "people": "person",
    "shelves": "shelf",
    "teeth": "tooth",
    "women": "woman",
    "wolves": "wolf",
}


@dataclass(frozen=True, slots=True)
class Name:
    """One thing a region may be."""

    label: str
    probability: float  # 0..1


class NameMatcher:
    """Compares phrases with the C class names."""

    def __init__(
        self,
        synonyms: Sequence[Sequence[str]],
        vectors: Vectors | None = None,
        encode: Callable[[list[str]], Vectors] | None = None,
    ) -> None:
        """`vectors` [C, D] are the classes' own embeddings; without them only words match."""
        self._synonyms = synonyms
        self._words = [[words_of(name) for name in names] for names in synonyms]
        self._vectors, self._encode = vectors, encode

    def best(self, posterior: Posterior, count: int = 3) -> tuple[Name, ...]:
        """The most probable names of a [C] posterior; classes of one name count together."""
        order = np.argsort(-posterior, kind="stable")[: 4 * count]
        found: dict[str, float] = {}
        for number in order:
            label = self._synonyms[number][0]
            found[label] = found.get(label, 0.0) + float(posterior[number])
        ranked = sorted(found.items(), key=lambda pair: -pair[1])[:count]
        return tuple(Name(label, probability) for label, probability in ranked)

    def label(self, number: int) -> str:
        """A class' name."""
        return self._synonyms[number][0]

    def exactly(self, label: str) -> npt.NDArray[np.float32]:
        """[C] 1 for the classes of this label, as `best` gives it, else 0."""
        return np.array([names[0] == label for names in self._synonyms], np.float32)

    def match(self, phrase: str, related: bool = True) -> npt.NDArray[np.float32]:
        """[C] in 0..1: how well each class fits the phrase; zeros for a phrase without words.

        With `related`, names that only mean something near count a little.
        """
        words = words_of(phrase)
        scores = np.zeros(len(self._synonyms), np.float32)
        if not words:
            return scores
        for number, names in enumerate(self._words):
            scores[number] = max(_word_match(words, name) for name in names)
        if related and self._encode is not None and self._vectors is not None:
            cosine = self._vectors @ self._encode([" ".join(words)])[0]
            near = np.clip((cosine - NEAR) / (SAME - NEAR), 0, 1) * RELATED_WEIGHT
            scores = np.maximum(scores, near.astype(np.float32))
        return scores

    def fit(self, posterior: Posterior, phrase: str) -> float:
        """0..1: the probability that a region of this posterior is what the phrase says."""
        return float(posterior @ self.match(phrase))


def words_of(text: str) -> tuple[str, ...]:
    """The words of a name or phrase in lower case and in the singular."""
    return tuple(_singular(word) for word in _WORD.findall(text.lower()))


def _singular(word: str) -> str:
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) > 4 and word.endswith(("ches", "shes", "sses", "xes", "zes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def _word_match(phrase: tuple[str, ...], name: tuple[str, ...]) -> float:
    if not name:
        return 0.0
    if phrase == name or phrase[-1] == name[-1]:
        return HEAD_WEIGHT
    return WORD_WEIGHT if phrase[-1] in name else 0.0
