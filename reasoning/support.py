"""Which sentence of the evidence answers a question, and whether any does.

A sentence supports a question as far as it makes the question likely: log P(question | sentence) -
log P(question), by the language model (UPR, Sachan et al., 2022). The nearness of the two in the
encoder's space, the kind of words the answer needs, and whether the sentence is about the subject
at all are added.
"""

import re
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
        "lived die died born happen mean name work founded created country city year "
        "population area height length weight size age speed"
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
_MADE_BY = re.compile(
    r"\b(?:wrote|written|painted|invented|discovered|composed|built|designed|founded|developed|"
    r"directed|created|made|sculpted)\b",
    re.IGNORECASE,
)
_MAKER = re.compile(
    r"\bby\s+(?:[\w-]+\s+){0,6}[A-Z]|\b(?:wrote|writer|painter|painted|inventor|invented|discoverer|"
    r"discovered|composer|composed|built|designer|designed|founder|founded|developer|developed|"
    r"directed|creator|created)\b"
)
_YES_NO = re.compile(
    r"^\s*(?:is|are|was|were|do|does|did|can|could|has|have|will)\b(?!.*\bor\b)", re.IGNORECASE
)
_NOT = re.compile(r"\b(?:not|never|no|cannot|without|unlike|neither|nor|rarely)\b|n't\b", re.I)
_PLAIN_VERB = frozenset(search_words("have get go be like use need contain"))
MAX_GAIN = 3.0  # nats of a question token that a sentence ever gives
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
    titled: float = 0.5  # taken from other entries' sentences where one bears the subject's name
    maker: float = 0.3  # taken away without a word for making where the maker is asked for
    enough: float = 0.9
    unsaid: float = 0.2  # more than `enough` for a yes-or-no question whose words it does not hold
    span: float = 0.8  # by which the other signals may lie below the best for a model's look


@dataclass(frozen=True, slots=True)
class Support:
    """A sentence with how well it answers."""

    evidence: Evidence
    sentence: str
    score: float
    fits: bool = True  # it holds the kind of words that are asked for, or none is


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
        static = self._static(question, subject, chosen)
        gains = self._gains(question, chosen, static)
        kind = answer_type(question)
        ranked = [
            Support(entry, text, base + gain, kind == "any" or fits_type(text, kind))
            for (entry, text, _), base, gain in zip(chosen, static, gains, strict=True)
        ]
        return tuple(sorted(ranked, key=lambda item: -item.score))

    def _static(
        self, question: str, subject: str, chosen: Sequence[tuple[Evidence, str, float]]
    ) -> list[float]:
        """What nearness, kind and subject give; the language model is not asked."""
        weights, kind = self.weights, answer_type(question)
        about = set(search_words(subject or question)) - _ASKING
        named = set(search_words(subject or question))
        titles = {entry.id: set(search_words(entry.title)) for entry, _, _ in chosen}
        # Only where the question names nothing besides; a person's entry may tell of anything.
        own = {number for number, title in titles.items() if about and about <= title <= named}
        own = set() if kind == "who" else own
        scores = []
        for entry, text, near in chosen:
            score = weights.nearness * near
            if kind != "any":
                score += weights.kind if fits_type(text, kind) else -weights.kind
            if kind == "who" and _MADE_BY.search(question) and not _MAKER.search(text):
                score -= weights.maker
            words = titles[entry.id] | set(search_words(text))
            if about:
                score -= weights.subject * len(about - words) / len(about)
            if own and entry.id not in own:
                score -= weights.titled
            scores.append(score)
        return scores

    def _gains(
        self,
        question: str,
        chosen: Sequence[tuple[Evidence, str, float]],
        static: Sequence[float],
    ) -> list[float]:
        """How much likelier each sentence makes the question, weighed; 0 where it cannot matter.

        A sentence far below the best by all other signals is never said, and where none comes near
        the gate none is: the language model, which costs most, is not asked about those.
        """
        weights = self.weights
        floor = max(max(static) - weights.span, weights.enough - weights.likelihood * MAX_GAIN)
        asked = [n for n, score in enumerate(static) if score >= floor]
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

    def enough(self, support: Support, question: str = "") -> bool:
        """Whether it may be given as the answer.

        A person, a date, or a number that is asked for must be there; of a place the pattern is
        less sure. What does not hold the words of a yes-or-no question must score higher.
        """
        if not support.fits and answer_type(question) not in ("any", "where"):
            return False
        gate = self.weights.enough
        if asks_yes_or_no(question):
            title = support.evidence.title
            gate += self.weights.unsaid * (yes_or_no(question, support.sentence, title) is None)
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


def asks_yes_or_no(question: str) -> bool:
    """Whether yes or no is an answer."""
    return _YES_NO.match(question) is not None


def yes_or_no(question: str, sentence: str, title: str) -> bool | None:
    """What a sentence says to a yes-or-no question; None where it holds not all that is asked.

    Only words tell: every content word of the question must be in the sentence (or be the entry's
    name), and no word of doubt may stand there for a yes.
    """
    if not asks_yes_or_no(question):
        return None
    asked = set(search_words(question)) - set(search_words(title)) - _PLAIN_VERB
    held = search_words(sentence)
    if not asked or not all(any(_alike(word, other) for other in held) for word in asked):
        return None
    return _NOT.search(sentence) is None


def _alike(left: str, right: str) -> bool:
    """Whether two words are forms of one: swim, swimming; mammal, mammals."""
    shorter, longer = sorted((left, right), key=len)
    return longer.startswith(shorter) and len(shorter) >= 3 and len(longer) - len(shorter) <= 4


def _sentences(text: str) -> list[str]:
    """Sentences, also where one was cut off ("…") and the next begins."""
    return [one for part in re.split(r"(?<=…)\s+", text) for one in sentences(part)]
