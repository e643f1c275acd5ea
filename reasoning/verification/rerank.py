"""Which sentence of the evidence answers a question, and whether any does.

A sentence supports a question as far as it makes the question likely: log P(question | sentence) -
log P(question), by the language model (UPR, Sachan et al., 2022). The nearness of the two in the
encoder's space, the kind of words the answer needs, and whether the sentence is about the subject
at all are added.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from reasoning.verification.answer_types import answer_type, fits_type
from reasoning.verification.predicates import says
from reasoning.verification.yes_no import asks_yes_or_no, concerns, yes_or_no
from reasoning.vlm.causal_lm import CausalLm
from retrieval.defence.screening import orders_assistant
from retrieval.sources.sentences import search_words, sentences
from stream.events import Evidence

# What is asked of a subject, not part of it.
_ASKING = frozenset(
    search_words(
        "invented invent discovered discover made make built build wrote write written painted "
        "paint come called call used use many much long far high tall old large big first live "
        "lived die died born happen mean name work founded created country city year "
        "population area height length weight size age speed people person inhabitant end ended "
        "begin began begun start started happen happened take place tall heavy deep wide hot cold "
        "fast stand stood inventor discoverer writer author build"
    )
)
_TELL = frozenset(search_words("tell me mean means word define explain information describe"))
_DEFINED = re.compile(
    r"^\s*(?:(?:please\s+)?(?:tell\s+me\s+(?:something\s+|more\s+)?about|define|explain|describe)\b|"
    r"what(?:['’]s|\s+is|\s+are)\s+(?:(?:a|an|the)\s+)?(?:[\w-]+\s*){1,3}[?.!\s]*$|"
    r"what\s+does\s+.+\s+mean\b)",
    re.IGNORECASE,
)
_MADE = re.compile(r"\b(?:made|used|known|called|like|for|from|of)\b", re.IGNORECASE)
_BACK = re.compile(
    r"\b(?:he|she|him|her|his|they|them|their|there|it|its|this|that|these|those)\b", re.IGNORECASE
)
MAX_GAIN = 3.0  # nats of a question token that a sentence ever gives
MAX_SENTENCES = 8  # scored by the language model; the nearest ones
MAX_CHARS = 400  # of a question and of a sentence that the language model reads
Vectors = npt.NDArray[np.float32]
PASSAGE = "Passage: {title}. {sentence}\nQuestion:"
NO_PASSAGE = "Passage: none.\nQuestion:"


class SentenceEncoder(Protocol):
    """The part of a text encoder that is needed here."""

    def encode_text(self, texts: Sequence[str]) -> Vectors: ...


@dataclass(frozen=True, slots=True)
class SupportWeights:
    """How the signals add up, and the sum from which a question counts as answered."""

    likelihood: float = 0.35  # per nat of a question token's gain
    nearness: float = 1.0  # of the cosine
    kind: float = 0.45  # added for the right kind of words, taken away without them
    subject: float = 0.9  # taken away by the share of the subject's words it does not hold
    titled: float = 0.5  # taken from other entries' sentences where one bears the subject's name
    measured: float = 0.4  # besides, where a number is asked for
    decided: float = 0.4  # added to what holds all words of a yes-or-no question
    lead: float = 0.15  # added to an own entry's first sentence where a place is asked for
    enough: float = 0.9
    unsaid: float = 0.2  # more than `enough` for a yes-or-no question whose words it does not hold
    span: float = 0.8  # by which the other signals may lie below the best for a model's look


@dataclass(frozen=True, slots=True)
class Support:
    """A sentence with how well it answers."""

    evidence: Evidence
    sentence: str
    score: float
    fits: bool = True  # it tells what is asked, as far as words show


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
            for text in _sentences(entry.text):
                if not orders_assistant(text):  # an order is no answer
                    owner.setdefault(text, entry)
        pairs = [(entry, text) for text, entry in owner.items()]
        if not pairs:
            return ()
        vectors = self._encoder.encode_text(
            [question, *(f"{entry.title}. {text}" for entry, text in pairs)]
        )
        near = vectors[1:] @ vectors[0]
        taken = np.argsort(-near, kind="stable")[:MAX_SENTENCES]
        chosen = [(*pairs[i], float(near[i])) for i in taken]
        kind = answer_type(question)
        hard = kind not in ("any", "where")  # of a place the pattern is less sure
        fits = [
            says(question, text) and (not hard or fits_type(text, kind)) for _, text, _ in chosen
        ]
        static = self._static(question, subject, chosen, evidence)
        gains = self._gains(question, chosen, static, fits)
        ranked = [
            Support(entry, text, base + gain, fit)
            for (entry, text, _), base, gain, fit in zip(chosen, static, gains, fits, strict=True)
        ]
        return tuple(sorted(ranked, key=lambda item: (not item.fits, -item.score)))

    def _static(
        self,
        question: str,
        subject: str,
        chosen: Sequence[tuple[Evidence, str, float]],
        evidence: Sequence[Evidence],
    ) -> list[float]:
        """What nearness, kind and subject give; the language model is not asked."""
        weights, kind = self.weights, answer_type(question)
        about = set(search_words(subject or question)) - _ASKING
        named = set(search_words(subject or question))
        titles = {entry.id: set(search_words(entry.title)) for entry in evidence}
        # A person's entry may tell of anything.
        own = _own(about, named, titles) if kind != "who" else set()
        scores = []
        for entry, text, near in chosen:
            score = weights.nearness * near
            if kind != "any":
                score += weights.kind if fits_type(text, kind) else -weights.kind
            words = titles[entry.id] | set(search_words(text))
            if about:
                score -= weights.subject * len(about - words) / len(about)
            if own and entry.id not in own:
                score -= weights.titled + weights.measured * (kind not in ("any", "where", "when"))
            elif own and kind == "where" and entry.text.startswith(text):
                score += weights.lead
            score += weights.decided * (yes_or_no(question, text, entry.title) is not None)
            scores.append(score)
        return scores

    def _gains(
        self,
        question: str,
        chosen: Sequence[tuple[Evidence, str, float]],
        static: Sequence[float],
        fits: Sequence[bool],
    ) -> list[float]:
        """How much likelier each sentence makes the question, weighed; 0 where it cannot matter.

        A sentence that does not fit or lies far below the best by all other signals is never said,
        and where none comes near the gate none is: the language model, which costs most, is not
        asked about those.
        """
        weights = self.weights
        best = max((score for score, fit in zip(static, fits, strict=True) if fit), default=0.0)
        floor = max(best - weights.span, weights.enough - weights.likelihood * MAX_GAIN)
        asked = [n for n, score in enumerate(static) if fits[n] and score >= floor]
        gains = [0.0] * len(chosen)
        if not asked:
            return gains
        prefixes = [
            PASSAGE.format(title=chosen[n][0].title[:MAX_CHARS], sentence=chosen[n][1][:MAX_CHARS])
            for n in asked
        ]
        *found, base = self._lm.likelihood([*prefixes, NO_PASSAGE], f" {question[:MAX_CHARS]}")
        for n, gain in zip(asked, found, strict=True):
            gains[n] = weights.likelihood * (gain - base)
        return gains

    def alike(self, one: str, other: str) -> float:
        """Cosine of two names in the encoder's space, -1..1."""
        first, second = self._encoder.encode_text([one, other])
        return float(first @ second)

    def enough(self, support: Support, question: str = "") -> bool:
        """Whether it may be given as the answer.

        What is asked for must be told: a person, a date, a number, the act, the cause. What does
        not hold the words of a yes-or-no question must be about its subject and score higher.
        """
        if not support.fits:
            return False
        gate, title = self.weights.enough, support.evidence.title
        if asks_yes_or_no(question) and yes_or_no(question, support.sentence, title) is None:
            if not concerns(question, title):
                return False
            gate += self.weights.unsaid
        return support.score >= gate


def defines(question: str, entry: Evidence) -> str:
    """The entry's first sentence, where the question asks for no more than what that is."""
    asked = set(search_words(question)) - _TELL
    if (
        _DEFINED.match(question) is None
        or _MADE.search(question)
        or not asked
        or asked != set(search_words(entry.title.split(" (")[0]))
    ):
        return ""
    first = _sentences(entry.text)[:1]
    return first[0] if first and asked & set(search_words(first[0])) else ""


def names_nothing(question: str) -> bool:
    """Whether a question only points back ("How many people live there?"): nothing to look up."""
    return _BACK.search(question) is not None and not set(search_words(question)) - _ASKING


def _own(about: set[str], named: set[str], titles: Mapping[str, set[str]]) -> set[str]:
    """The entries that the question is about: named in full, else the first if it bears the name.

    Only where the question names nothing besides.
    """
    exact = {number for number, title in titles.items() if about and about <= title <= named}
    first = next(iter(titles), "")
    return exact or ({first} if first and about and about <= titles[first] else set())


def _sentences(text: str) -> list[str]:
    """Sentences, also where one was cut off ("…") and the next begins."""
    return [one for part in re.split(r"(?<=…)\s+", text) for one in sentences(part)]
