"""Whether what a model wrote is borne out by what was found, sentence by sentence.

Nearness in an encoder's space does not see the one word that is wrong: a year, a name, a "not".
So a claim is scored by a logistic regression over its nearness to the nearest sentence of the
evidence, the shares of its numbers, names and words that no evidence holds, and whether it denies
what that sentence says or says what it denies. The weights were fitted on sentences of the
knowledge base of which no benchmark asks (`python -m benchmarks.claims --fit`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reasoning.verification.rerank import SentenceEncoder
from retrieval.defence.facts import facts, said_numbers
from retrieval.encoders.text import Vectors
from retrieval.sources.sentences import search_words, sentences
from stream.events import Evidence

MAX_SENTENCES = 40  # of the evidence that are compared
FEATURES = ("nearness", "numbers", "names", "words", "denial")
# What is seen needs no evidence; neither does what is said of the answer itself.
_SIGHT = re.compile(
    r"\b(?:I|we)\s+(?:can\s+|can['’]?not\s+|don['’]t\s+|do\s+not\s+|could\s+not\s+)?(?:see|read|know|"
    r"find|think|found|look)|\b(?:in\s+view|in\s+the\s+(?:picture|image|photo|frame|background|"
    r"foreground)|on\s+(?:the|your)\s+(?:left|right)|in\s+front\s+of\s+you|looks?\s+like|appears?|"
    r"seems?|your\b|you\b)|\?\s*$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class ClaimWeights:
    """Of the log odds that a claim is borne out, one a feature, and how likely it must be."""

    bias: float = -1.11
    nearness: float = 3.72  # cosine with the nearest sentence
    numbers: float = -7.04  # share of its numbers that no evidence holds
    names: float = -5.31
    words: float = -10.16  # of all its content words
    denial: float = -6.48  # 1 where one of the two denies and the other does not
    enough: float = 0.64  # probability that 95 % of the honest claims reach that it was fitted on

    @property
    def vector(self) -> Vectors:
        """[5] in the order of FEATURES."""
        values = (self.nearness, self.numbers, self.names, self.words, self.denial)
        return np.array(values, np.float32)


class ClaimChecker:
    """Checks claims against evidence; keeps the vectors of the last evidence, any thread may call.

    Sentence after sentence of an answer is checked against the same.
    """

    def __init__(self, encoder: SentenceEncoder, weights: ClaimWeights | None = None) -> None:
        self._encoder, self.weights = encoder, weights or ClaimWeights()
        self._last: tuple[tuple[str, ...], Vectors] | None = None

    def holds(self, claim: str, evidence: Sequence[Evidence], known: str = "") -> bool:
        """Whether a sentence may be said; `known` is what is seen, asked and was said before."""
        if not self.checkable(claim):
            return True
        return self.probability(claim, evidence, known) >= self.weights.enough

    @staticmethod
    def checkable(claim: str) -> bool:
        """Whether a sentence says something that evidence could tell."""
        said = facts(claim)
        tells = len(search_words(claim)) > 1 or bool(said.numbers or said.names)
        return tells and _SIGHT.search(claim) is None

    def probability(self, claim: str, evidence: Sequence[Evidence], known: str = "") -> float:
        """How likely a claim is borne out, 0..1; 0 without evidence."""
        told = [f"{one.title}. {text}" for one in evidence for text in sentences(one.text)]
        if not told:
            return 0.0
        logit = self.weights.bias + self.weights.vector @ self.features(claim, told, known)
        return float(1 / (1 + np.exp(-logit)))

    def features(self, claim: str, told: Sequence[str], known: str = "") -> Vectors:
        """[5] float32 for a claim beside sentences of evidence, in the order of FEATURES."""
        told = tuple(told[:MAX_SENTENCES])
        near = self._vectors(told) @ self._encoder.encode_text([claim])[0]
        nearest = told[int(near.argmax())]
        said, all_told = facts(claim), " ".join([*told, known])
        held = set(search_words(all_told))
        denies = said.denials % 2 != facts(nearest).denials % 2
        return np.array(
            [
                near.max(),
                _missing(said.numbers, said_numbers(all_told)),
                _missing(said.names, held),
                _missing(frozenset(search_words(claim)), held),
                float(denies),
            ],
            np.float32,
        )

    def _vectors(self, told: tuple[str, ...]) -> Vectors:
        last = self._last  # whole, whoever replaces it
        if last is not None and last[0] == told:
            return last[1]
        vectors = self._encoder.encode_text(told)
        self._last = told, vectors
        return vectors


def _missing(wanted: frozenset[str], held: frozenset[str] | set[str]) -> float:
    """The share of words that are not held; 0 where none is wanted."""
    return len(wanted - held) / len(wanted) if wanted else 0.0
