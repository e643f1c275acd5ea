"""Grading by whole words, and shares with their intervals: for everything that asks questions.

An answer is right when it holds an accepted word or phrase as whole words, outside its citation,
whatever the case: "no" is not in "Nothing", "1" is not in "12". Numbers are compared as numbers:
"five" is "5", "1,000" is "1000". Inflections count only where the key writes them out. An answer
that refuses ("I don't know") is a miss, and right where nobody can know.
"""

import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from reasoning.rules.script import DONT_KNOW
from stream.events import QueryKind

Kind = Literal["thing", "fact", "unanswerable", "visual"]  # thing: a fact about what is in view
KINDS: tuple[Kind, ...] = get_args(Kind)
Grade = Literal["right", "hallucination", "miss"]

# An answer that names nothing; of an unanswerable question only the first is right.
REFUSALS = (DONT_KNOW, "I can't make out any words", "none that I can name")
Z_95 = 1.959964  # of the normal distribution, two-sided
_CITATION = re.compile(r"\(Source: .*?\.\)(?=\s|$)")
_TOKEN = re.compile(
    r"\d+(?:st|nd|rd|th|s)\b|\d{1,3}(?:[,\u00a0\u202f]\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|"
    r"[^\W\d_]+(?:'[^\W\d_]+)*"
)
_SEPARATOR = re.compile(r"[,\u00a0\u202f]")  # of thousands
_BELOW_TWENTY = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
)
_SMALL = {word: number for number, word in enumerate(_BELOW_TWENTY.split())}
_TENS = {
    word: 10 * number
    for number, word in enumerate(
        ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], 2
    )
}
_SCALES = {"hundred": 100, "thousand": 1000}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one answer did."""

    kind: Kind
    grade: Grade
    calls: tuple[QueryKind, ...]
    took_ms: float


def grade(kind: Kind, accept: Iterable[str], text: str) -> Grade:
    """Right, a hallucination or a miss; an answer that refuses is never read for its words."""
    if kind == "unanswerable":
        return "right" if DONT_KNOW in text else "hallucination"
    if any(refusal in text for refusal in REFUSALS):
        return "miss"
    return "right" if holds(_CITATION.sub("", text), accept) else "hallucination"


def holds(text: str, accept: Iterable[str]) -> bool:
    """Whether a text holds one of the accepted words or phrases as whole words."""
    said = words(text)
    for phrase in map(words, accept):
        starts = range(len(said) - len(phrase) + 1)
        if phrase and any(said[at : at + len(phrase)] == phrase for at in starts):
            return True
    return False


def words(text: str) -> list[str]:
    """Lower-case words without accents and possessive 's; numbers as digits: "Twelve" is "12"."""
    plain = unicodedata.normalize("NFD", text.lower().replace("’", "'"))
    plain = "".join(char for char in plain if not unicodedata.combining(char))
    tokens = [token.removesuffix("'s") for token in _TOKEN.findall(plain)]
    return list(_numbers([_SEPARATOR.sub("", token) for token in tokens]))


def _numbers(tokens: Sequence[str]) -> Iterator[str]:
    """The tokens with number words put together: "twenty", "one" is "21"."""
    at = 0
    while at < len(tokens):
        value, used = _number(tokens[at:])
        yield str(value) if used else tokens[at]
        at += max(1, used)


def _number(tokens: Sequence[str]) -> tuple[int, int]:
    """The number that the first tokens are, and how many they are; 0 for none."""
    value, used = _below_hundred(tokens)
    while used and used < len(tokens) and tokens[used] in _SCALES:
        value, used = value * _SCALES[tokens[used]], used + 1
        joined = used + (tokens[used : used + 1] == ["and"])
        more, read = _below_hundred(tokens[joined:])
        if read:
            value, used = value + more, joined + read
    return value, used


def _below_hundred(tokens: Sequence[str]) -> tuple[int, int]:
    first, second = (*tokens[:2], "", "")[:2]
    if first in _SMALL:
        return _SMALL[first], 1
    if first not in _TENS:
        return 0, 0
    units = _SMALL.get(second, 0)
    return (_TENS[first] + units, 2) if 0 < units < 10 else (_TENS[first], 1)


def wilson(hits: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share by Wilson (1927); all of 0..1 where nothing was counted."""
    if not count:
        return 0.0, 1.0
    share, square = hits / count, Z_95 * Z_95
    middle = (share + square / (2 * count)) / (1 + square / count)
    spread = math.sqrt(share * (1 - share) / count + square / (4 * count * count))
    half = Z_95 * spread / (1 + square / count)
    return max(0.0, middle - half), min(1.0, middle + half)


def share(name: str, hits: int, count: int) -> dict[str, float]:
    """A share (0..1) and the ends of its interval, as metrics `name`, `name_low`, `name_high`."""
    low, high = wilson(hits, count)
    return {name: hits / count, f"{name}_low": low, f"{name}_high": high}


def summary(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Shares (0..1) with their intervals and times of some outcomes; nothing for none."""
    if not outcomes:
        return {}
    count = len(outcomes)
    hits = {name: sum(one.grade == name for one in outcomes) for name in get_args(Grade)}
    times = np.array([one.took_ms for one in outcomes])
    return {
        "questions": count,
        **share("accuracy", hits["right"], count),
        **share("hallucination", hits["hallucination"], count),
        **share("miss", hits["miss"], count),
        "truthfulness": (hits["right"] - hits["hallucination"]) / count,
        **share("search_ratio", sum(bool(one.calls) for one in outcomes), count),
        "searches": sum(len(one.calls) for one in outcomes) / count,
        "p50_ms": float(np.quantile(times, 0.5)),
        "p95_ms": float(np.quantile(times, 0.95)),
    }
