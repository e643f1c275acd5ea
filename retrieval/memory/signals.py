"""The signals of a recall: what of a memory matches words, a meaning or a look, and how well.

Scores of words, meanings and looks have scales of their own, and none of them is a probability.
Where they are mixed, -log(rank / T) of T events is the one calibration that worked across
modalities; see `retrieval/memory/sequences.py`.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retrieval.memory.events import Floats
from retrieval.memory.moments import Moments, Numbers
from retrieval.memory.sequences import rank_evidence
from retrieval.memory.words.vocabulary import Vocabulary, colours_of

WORDS_FLOOR = 0.5  # of a question's words, by weight, that a match has at least
MEANING_FLOOR = 0.35  # cosine: things of other kinds lie below
ALIKE_FLOOR = 0.5  # cosine of two names without their colours
LOOK_FLOOR = 0.6  # cosine by equal bits; strangers have 0

WEIGHTS: Mapping[str, float] = {"words": 1.0, "alike": 0.5, "meaning": 0.5, "look": 1.0}
RECENCY = 0.05  # of the newest event above the oldest: what decides between equals
CLOSE = 0.98  # of the best one's nearness that another match has at least
NEIGHBOURS = 0.3  # of the results that come just before or after another (EM-LLM)

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


def word_signals(
    connection: sqlite3.Connection,
    moments: Moments,
    vocabulary: Vocabulary,
    labels: Numbers,
    wanted: Wanted,
    allowed: Rows,
) -> dict[str, Signal]:
    """Share of the words, weighted by how rare they are, in names ("named") and in what was "told".

    A word that nothing here has counts only if it is the question's noun: where no cup was ever
    called blue, the cup is meant; where no keys were ever seen, the car is not. "alike": names that
    mean the same, where the vocabulary has vectors. `labels`: [S] numbers of the sights' names.
    """
    told = {term: _told(connection, moments, term) for term in wanted.terms}
    weights = _weights(moments, vocabulary, told)
    known = sum(weight for weight, seen in weights.values() if seen)
    head, seen = weights.get(wanted.head, (0.0, 1))
    total = max(known + (0.0 if seen else head), 1e-9)
    colours = colours_of(wanted.terms)
    names = {
        number: sum(weights[term][0] for term in wanted.terms if term in words) / total
        for number, words in vocabulary.words.items()
        if vocabulary.fits(number, colours)
    }
    in_events = np.zeros(moments.size, np.float32)
    for term, rows in told.items():
        in_events[rows] += weights[term][0]
    in_events /= total if wanted.strict else max(known, 1e-9)
    nobody = np.full(moments.sights.rows.size, -np.inf, np.float32)
    found = {"named": _by_name(moments, labels, names, WORDS_FLOOR, allowed)}
    if near := vocabulary.near(wanted.terms):
        found["alike"] = _by_name(moments, labels, near, ALIKE_FLOOR, allowed)
    found["told"] = Signal(_or_nothing(in_events, allowed), nobody, WORDS_FLOOR)
    return found


def _weights(
    moments: Moments, vocabulary: Vocabulary, told: Mapping[str, Rows]
) -> dict[str, tuple[float, int]]:
    """Of each word: how much it tells (its inverse frequency), and how many events have it."""
    found = {}
    for term, rows in told.items():
        having = [number for number, words in vocabulary.words.items() if term in words]
        either = rows.copy()
        either[moments.sights.rows[np.isin(moments.sights.names, having)]] = True
        seen = int(either.sum())
        found[term] = float(np.log1p((moments.size - seen + 0.5) / (seen + 0.5))), seen
    return found


def _by_name(
    moments: Moments, labels: Numbers, names: Mapping[int, float], floor: float, allowed: Rows
) -> Signal:
    """A signal of the nearness of each name; `labels` [S] has the number of each sight's."""
    sights = np.zeros(labels.size, np.float32)
    for number, nearness in names.items():
        if nearness >= floor:
            sights[labels == number] = nearness
    sights = _or_nothing(sights, allowed[moments.sights.rows])
    events = np.full(moments.size, -np.inf, np.float32)
    np.maximum.at(events, moments.sights.rows, sights)
    return Signal(events, sights, floor)


def joined(signals: Sequence[Signal]) -> Signal:
    """Several as one: of each event and sight the nearest."""
    events = np.maximum.reduce([signal.events for signal in signals])
    sights = np.maximum.reduce([signal.sights for signal in signals])
    return Signal(events, sights, min(signal.floor for signal in signals))


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


def _or_nothing(share: Floats, allowed: Rows) -> Floats:
    return np.asarray(np.where(allowed & (share > 0), share, -np.inf), np.float32)


def calibrated(scores: Floats) -> Floats:
    """[T] scores, -inf for no match -> [T] float32 of 0..1: what share of all nats there are."""
    if scores.size == 1:
        return np.isfinite(scores).astype(np.float32)
    nats = rank_evidence(scores[None])[0]
    return np.asarray(nats / np.log(scores.size), np.float32)


def mixed(signals: Mapping[str, Floats], place: npt.NDArray[np.int64]) -> Floats:
    """[T] of each signal, [T] place of each event in time -> [T] in 0..1 + RECENCY."""
    total = sum(WEIGHTS[name] for name in signals)
    mix = sum(
        (WEIGHTS[name] / total * calibrated(scores) for name, scores in signals.items()),
        np.zeros(place.size, np.float32),
    )
    return np.asarray(mix + RECENCY * (place + 1) / max(1, place.size), np.float32)


def close(nearness: Floats, floor: float) -> npt.NDArray[np.bool_]:
    """[T]: what is as good a match as the best one, within CLOSE, and above a floor."""
    best = float(nearness.max(initial=-np.inf))
    if best < floor:
        return np.zeros(nearness.size, np.bool_)
    return np.asarray(nearness >= max(floor, CLOSE * best), np.bool_)


def with_neighbours(
    hits: Sequence[int],
    order: npt.NDArray[np.int64],
    place: npt.NDArray[np.int64],
    sessions: npt.NDArray[np.int64],
    k: int,
) -> list[tuple[int, int]]:
    """(event row, 0) of the hits, then (row, -1 or 1) of what came just before or after the best.

    Neighbours take at most NEIGHBOURS of the k places, are of the same session, and no hits.
    """
    spare = int(NEIGHBOURS * k + 0.5)
    kept = list(hits[: max(1, k - spare)])
    found, seen = [(hit, 0) for hit in kept], set(kept)
    for hit in kept:
        for step in (-1, 1):
            at = int(place[hit]) + step
            if not 0 <= at < order.size or len(found) >= len(kept) + spare:
                continue
            row = int(order[at])
            if row not in seen and sessions[row] == sessions[hit]:
                seen.add(row)
                found.append((row, step))
    return found
