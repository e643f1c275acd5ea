"""Which sentence of the evidence answers a question, and whether any does.

A sentence supports a question as far as it makes the question likely: log P(question | sentence) -
log P(question), by the language model (UPR, Sachan et al., 2022). The nearness of the two in the
encoder's space, the kind of words the answer needs, and whether the sentence is about the subject
at all are added.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reasoning.intents import SentenceEncoder
from reasoning.lm import CausalLm
from reasoning.phrases import answer_type, fits_type
from retrieval.sentences import search_words, sentences
from stream.events import Evidence

# What is asked of a subject, not part of it.
_ASKING = frozenset(
    search_words(
        "invented invent discovered discover made make built build wrote write written painted "
        "paint come called call used use many much long far high tall old large big first live "
        "lived die died born happen mean name work founded created country city year"
    )
)
MAX_SENTENCES = 8  # scored by the language model; the nearest ones
MAX_CHARS = 400  # of a question and of a sentence that the language model reads
PASSAGE = "Passage: {title}. {sentence}\nQuestion:"
NO_PASSAGE = "Passage: none.\nQuestion:"


@dataclass(frozen=True, slots=True)
class SupportWeights:
    """How the signals add up, and the sum from which a question counts as answered."""

    likelihood: float = 0.35  # per nat of a question token's gain
    nearness: float = 1.0  # of the cosine
    kind: float = 0.45  # added for the right kind of words, taken away without them
    subject: float = 0.9  # taken away by the share of the subject's words it does not hold
    enough: float = 0.9


@dataclass(frozen=True, slots=True)
class Support:
    """A sentence with how well it answers."""

    evidence: Evidence
    sentence: str
    score: float


class SupportScorer:
    """Ranks sentences of evidence for a question."""

    def __init__(
        self, lm: CausalLm, encoder: SentenceEncoder, weights: SupportWeights | None = None
    ) -> None:
        self._lm, self._encoder = lm, encoder
        self.weights = weights or SupportWeights()

    def rank(
        self, question: str, evidence: Sequence[Evidence], subject: str = ""
    ) -> tuple[Support, ...]:
        """Best first; `subject` is what the question is about, when known."""
        owner: dict[str, Evidence] = {}  # a sentence that several entries hold is the first one's
        for entry in evidence:
            for text in sentences(entry.text):
                owner.setdefault(text, entry)
        pairs = [(entry, text) for text, entry in owner.items()]
        if not pairs:
            return ()
        vectors = self._encoder.encode_text(
            [question, *(f"{entry.title}. {text}" for entry, text in pairs)]
        )
        near = vectors[1:] @ vectors[0]
        taken = np.argsort(-near, kind="stable")[:MAX_SENTENCES]
        prefixes = [
            PASSAGE.format(title=pairs[i][0].title[:MAX_CHARS], sentence=pairs[i][1][:MAX_CHARS])
            for i in taken
        ]
        *gains, base = self._lm.likelihood([*prefixes, NO_PASSAGE], f" {question[:MAX_CHARS]}")
        weights, kind = self.weights, answer_type(question)
        about = set(search_words(subject or question)) - _ASKING
        ranked = []
        for i, gain in zip(taken, gains, strict=True):
            entry, text = pairs[i]
            score = weights.likelihood * (gain - base) + weights.nearness * float(near[i])
            if kind != "any":
                score += weights.kind if fits_type(text, kind) else -weights.kind
            words = set(search_words(entry.title)) | set(search_words(text))
            if about:
                score -= weights.subject * len(about - words) / len(about)
            ranked.append(Support(entry, text, score))
        return tuple(sorted(ranked, key=lambda item: -item.score))

    def enough(self, support: Support) -> bool:
        """Whether it may be given as the answer."""
        return support.score >= self.weights.enough
