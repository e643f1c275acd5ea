"""Whether a wearer's own note tells what was asked, also where it says it in other words.

"Who owns the kettle?" shares one word with "belongs to Anna", "How hot should I pour?" none with
"93 degrees". A passage of a note is judged by how near it is to the question in the encoder's
space, by the share of the question's words that its note knows, by whether it holds words of the
kind that answers (`told_kinds`), and by the names and numbers of the question that it lacks: a note
on Noah's shoes does not tell Lea's. Logistic regression over these; `benchmarks.notes_fit` fits it.
"""

import re
from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
import numpy.typing as npt

from reasoning.verification.rerank import SentenceEncoder, Support
from reasoning.verification.told_kinds import tells_kind
from reasoning.verification.yes_no import alike
from retrieval.sources.sentences import search_words
from stream.events import Evidence

Features = npt.NDArray[np.float64]
MAX_NOTES, MAX_PASSAGES = 2, 6  # that are judged
ENOUGH = 0.35  # probability from which a passage is said
# What is asked of a thing, or said of whoever asks: no word of a note has to repeat it.
_ASKING = frozenset(
    search_words(
        "own belong cost pay paid charge price call name find put keep kept give gave get got go "
        "goes use take takes need let long much many often hot cold warm far high wide big old "
        "heavy fast "
        "size colour color time day date number kind sort do we us our ours mine me start begin "
        "begins leave due must may should shall allowed live lives place strong tall large amount"
    )
)
_MINE = re.compile(r"\b(?:i|me|my|mine|we|us|our|ours)\b", re.IGNORECASE)
_SPECIFIC = re.compile(r"(?<=\s)[A-ZÄÖÜ][\w'’-]+|\b\d[\w.:,]*")


@dataclass(frozen=True, slots=True)
class NoteWeights:
    """Logistic regression; the order is that of `features`."""

    bias: float = -4.39
    near: float = 2.43  # cosine of the question and the passage below its title
    lead: float = 5.67  # by how much the cosine is above the mean of the passages
    known: float = 3.5  # share of the question's words that title or passage hold
    elsewhere: float = -0.52  # share that only other passages of the note hold
    right: float = 0.26  # 1 where words of the kind that is asked for are there
    wrong: float = -3.33  # 1 where they are not
    lacking: float = -1.38  # 1 where a name or number of the question is not there
    mine: float = 0.45  # 1 where the question speaks of the wearer


def features(
    question: str, evidence: Evidence, encoder: SentenceEncoder
) -> tuple[tuple[str, ...], Features]:
    """The passages of a note and their [N, 8] features."""
    passages = evidence.nearest[:MAX_PASSAGES] or (evidence.text,)
    vectors = encoder.encode_text([question, *(f"{evidence.title}. {one}" for one in passages)])
    near = vectors[1:] @ vectors[0]
    asked = set(search_words(question)) - _ASKING
    specific = {word for one in _SPECIFIC.findall(question) for word in search_words(one)}
    told = [_words(f"{evidence.title} {one}") for one in passages]
    note = set[str]().union(*told)
    mine = float(_MINE.search(question) is not None)
    rows = []
    for passage, words, cosine in zip(passages, told, near, strict=True):
        known, whole = _share(asked, words), _share(asked, note)
        right = tells_kind(question, passage, evidence.title)
        rows.append(
            (
                float(cosine),
                float(cosine - near.mean()),
                known,
                whole - known,
                float(right is True),
                float(right is False),
                float(any(not _holds(words, word) for word in specific)),
                mine,
            )
        )
    return passages, np.array(rows, np.float64)


class NoteSupport:
    """Judges the passages of own notes."""

    def __init__(self, encoder: SentenceEncoder, weights: NoteWeights | None = None) -> None:
        self._encoder = encoder
        self._weights = np.array(astuple(weights or NoteWeights()))

    def rank(
        self, question: str, evidence: Sequence[Evidence], looks: Sequence[str] = ()
    ) -> tuple[Support, ...]:
        """Passages of own evidence, best first; the score is the probability that it tells.

        `looks` are words for how the thing that is meant looks, such as its colour: a passage that
        holds one goes before those that do not.
        """
        ranked = []
        for one in [entry for entry in evidence if entry.tier == "own"][:MAX_NOTES]:
            passages, rows = features(question, one, self._encoder)
            odds = self._weights[0] + rows @ self._weights[1:]
            for passage, score in zip(passages, 1 / (1 + np.exp(-odds)), strict=True):
                ranked.append(Support(one, passage, float(score), bool(score >= ENOUGH)))
        seen = set(search_words(" ".join(looks)))

        def order(support: Support) -> tuple[bool, float]:
            return support.fits and bool(seen & _words(support.sentence)), support.score

        return tuple(sorted(ranked, key=order, reverse=True))


def _words(text: str) -> set[str]:
    return set(search_words(text))


def _holds(words: set[str], word: str) -> bool:
    return word in words or any(alike(word, one) for one in words)


def _share(asked: set[str], words: set[str]) -> float:
    return sum(_holds(words, word) for word in asked) / len(asked) if asked else 0.0
