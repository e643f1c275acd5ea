"""The signals of a recall: what of a memory matches words, a meaning or a look, and how well."""

import sqlite3
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retrieval.memory.events import Floats
from retrieval.memory.moments import Moments
from retrieval.memory.ranking import close
from retrieval.sources.sentences import search_words

WORDS_FLOOR = 0.5  # of a question's words, by weight, that a match has at least
MEANING_FLOOR = 0.35  # cosine: things of other kinds lie below
LOOK_FLOOR = 0.6  # cosine by equal bits; strangers have 0

Rows = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Signal:
    """How near each event and each sight is; -inf where it is not compared or has nothing."""

    events: Floats  # [T]
    sights: Floats  # [S]
    floor: float  # below it nothing matches

    @property
    def best(self) -> float:
        """The nearest event's, -inf for none."""
        return float(self.events.max(initial=-np.inf))

    def matches(self, exact: bool) -> Rows:
        """[T]: above the floor, and with `exact` as near as the nearest."""
        return close(self.events, self.floor) if exact else self.events >= self.floor


@dataclass(frozen=True, slots=True)
class Wanted:
    """The words that are looked for: `head` is the noun that the question is about."""

    terms: tuple[str, ...]
    head: str
    strict: bool  # a moment that only told of something else will not do


def name_and_told(
    connection: sqlite3.Connection, moments: Moments, wanted: Wanted, allowed: Rows
) -> tuple[Signal, Signal]:
    """Share of the words, weighted by how rare they are, in names of sights and in what was told.

    A word that nothing here has counts only if it is the question's noun: where no cup was ever
    called blue, the cup is meant; where no keys were ever seen, the car is not.
    """
    rows = moments.sights.rows
    in_events, in_sights = np.zeros(moments.size, np.float32), np.zeros(rows.size, np.float32)
    known = unknown = 0.0
    for term in wanted.terms:
        told, named = _told(connection, moments, term), _named(moments, term)
        either = told.copy()
        either[rows[named]] = True
        seen = int(either.sum())
        weight = float(np.log1p((moments.size - seen + 0.5) / (seen + 0.5)))
        known += weight if seen else 0.0
        unknown += weight if not seen and term == wanted.head else 0.0
        in_events[told] += weight
        in_sights[named] += weight
    total = max(known + unknown, 1e-9)
    sights = _or_nothing(in_sights / total, allowed[rows])
    events = np.full(moments.size, -np.inf, np.float32)
    np.maximum.at(events, rows, sights)
    in_events /= total if wanted.strict else max(known, 1e-9)
    nobody = np.full(rows.size, -np.inf, np.float32)
    told_of = Signal(_or_nothing(in_events, allowed), nobody, WORDS_FLOOR)
    return Signal(events, sights, WORDS_FLOOR), told_of


def either_words(named: Signal, told: Signal) -> Signal:
    """Names and what was told as one signal."""
    return Signal(np.maximum(named.events, told.events), named.sights, WORDS_FLOOR)


def meaning_signal(moments: Moments, vector: Floats, allowed: Rows) -> Signal:
    """Cosines with a unit [D] vector."""
    return Signal(*moments.by_meaning(vector, allowed), MEANING_FLOOR)


def look_signal(moments: Moments, look: bytes, allowed: Rows) -> Signal:
    """Likeness to a look."""
    return Signal(*moments.by_look(look, allowed), LOOK_FLOOR)


def _told(connection: sqlite3.Connection, moments: Moments, term: str) -> Rows:
    """[T]: events whose text or utterance has a word; FTS5 reads what stands in quotes as is."""
    rows = connection.execute("SELECT rowid FROM words WHERE words MATCH ?", (f'"{term}"',))
    numbers = np.array([number for (number,) in rows], np.int64)
    found = np.zeros(moments.size, np.bool_)
    known = numbers[np.isin(numbers, moments.events.numbers)]  # the writer may be ahead
    found[np.searchsorted(moments.events.numbers, known)] = True
    return found


def _named(moments: Moments, term: str) -> Rows:
    """[S]: sights whose names have a word."""
    numbers = [n for n, name in moments.names.items() if term in search_words(name)]
    return np.isin(moments.sights.names, numbers)


def _or_nothing(share: Floats, allowed: Rows) -> Floats:
    return np.asarray(np.where(allowed & (share > 0), share, -np.inf), np.float32)
