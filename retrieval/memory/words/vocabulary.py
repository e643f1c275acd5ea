"""The names of a memory, and which of them another word means: "mug" for a cup.

A name is compared without its colour, which would make a red pan as near to a red mug as a cup is;
a colour that both have must be the same one. What has no name takes that of the vocabulary that its
meaning is nearest to, as far as one is near enough and the next one is not.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from retrieval.encoders.text import TextEncoder
from retrieval.memory.events import Floats
from retrieval.memory.moments import Moments, Numbers
from retrieval.sources.sentences import search_words

MAX_NAMES = 3_000  # that are encoded; words alone find the others
MAX_NAMELESS = 4_000  # sights without a name, the newest, that are given one
NAMED_FLOOR = 0.25  # cosine with a name that it is given
MARGIN = 0.05  # cosine above that of the next name
COLOURS = frozenset(
    search_words(
        "black white grey gray red green blue yellow orange brown pink purple violet beige silver "
        "gold golden turquoise cyan magenta maroon navy cream transparent"
    )
)


def colours_of(words: Iterable[str]) -> frozenset[str]:
    """The colours among search words, "gray" as "grey"."""
    same = {"gray": "grey", "golden": "gold", "violet": "purple"}
    return frozenset(same.get(word, word) for word in words if word in COLOURS)


def without_colours(words: Sequence[str]) -> str:
    """The words as a text, colours left out unless there is nothing else."""
    return " ".join(word for word in words if word not in COLOURS) or " ".join(words)


class Vocabulary:
    """Names by their numbers in the file, with their words, colours and vectors."""

    def __init__(self, encoder: TextEncoder | None) -> None:
        """Without an encoder names are but their words."""
        self._encoder = encoder
        self.words: dict[int, list[str]] = {}
        self._colours: dict[int, frozenset[str]] = {}
        self._row: dict[int, int] = {}  # of both arrays
        self._plain = self._full = np.zeros((0, 0), np.float32)  # [N, D] without and with colours

    def learn(self, names: Mapping[int, str]) -> None:
        """Take in what is new; numbers are never used again, so what is gone does no harm."""
        fresh = [number for number in names if number not in self.words]
        for number in fresh:
            self.words[number] = search_words(names[number])
            self._colours[number] = colours_of(self.words[number])
        fresh = [n for n in fresh if self.words[n]][: MAX_NAMES - len(self._row)]
        if self._encoder is None or not fresh:
            return
        plain = self._encoder.encode_text([without_colours(self.words[n]) for n in fresh])
        full = self._encoder.encode_text([names[n] for n in fresh])
        self._row |= {number: len(self._row) + row for row, number in enumerate(fresh)}
        dim = plain.shape[1]
        self._plain = np.concatenate((self._plain.reshape(-1, dim), plain))
        self._full = np.concatenate((self._full.reshape(-1, dim), full))

    def fits(self, number: int, colours: frozenset[str]) -> bool:
        """Whether a name has no colour, or one of these, or these are none."""
        return not (colours and self._colours[number]) or bool(colours & self._colours[number])

    def near(self, terms: Sequence[str]) -> dict[int, float]:
        """Cosine of each fitting name with what is asked for; empty without an encoder."""
        if self._encoder is None or not self._row or not terms:
            return {}
        cosines = self._plain @ self._encoder.encode_text([without_colours(terms)])[0]
        colours = colours_of(terms)
        return {n: float(cosines[at]) for n, at in self._row.items() if self.fits(n, colours)}

    def named_by(self, meanings: Floats) -> list[int | None]:
        """[n, D] of what has no name -> the nearest name's number, None where that is unsure."""
        if len(self._row) < 2 or not len(meanings):
            return [None] * len(meanings)
        cosines = meanings @ self._full.T
        order = np.sort(cosines, axis=1)
        sure = (order[:, -1] >= NAMED_FLOOR) & (order[:, -1] - order[:, -2] >= MARGIN)
        numbers = list(self._row)  # in the order of the rows
        best = cosines.argmax(axis=1)
        return [numbers[at] if is_sure else None for at, is_sure in zip(best, sure, strict=True)]


class MemoryNames:
    """[S] the number of each sight's name, that of its meaning where it has none."""

    def __init__(self) -> None:
        self._made_of: tuple[int, int, int] | None = None
        self.numbers: Numbers = np.zeros(0, np.int64)

    def update(self, moments: Moments, vocabulary: Vocabulary) -> Numbers:
        """As of now; made anew only when sights or names have come or gone."""
        sights = moments.sights
        state = (moments.generation, sights.numbers.size, len(vocabulary.words))
        if state == self._made_of:
            return self.numbers
        nameless = [n for n, words in vocabulary.words.items() if not words]
        places = np.flatnonzero(np.isin(sights.names, nameless) & (sights.meant >= 0))
        places = places[-MAX_NAMELESS:]
        vectors = [moments.meanings.row(int(sights.meant[place])) for place in places]
        guessed = vocabulary.named_by(np.stack(vectors)) if vectors else []
        self.numbers, self._made_of = sights.names.copy(), state
        for place, number in zip(places, guessed, strict=True):
            self.numbers[place] = number or self.numbers[place]
        return self.numbers
