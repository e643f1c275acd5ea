"""How near events are to a question: each signal is calibrated by rank, then they are added.

Scores of words, meanings and looks have scales of their own, and none of them is a probability.
-log(rank / T) of T events is the one calibration that worked across modalities; see
`retrieval/memory/sequences.py`.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from retrieval.memory.events import Floats
from retrieval.memory.sequences import rank_evidence

WEIGHTS: Mapping[str, float] = {"words": 1.0, "alike": 0.5, "meaning": 0.5, "look": 1.0}
RECENCY = 0.05  # of the newest event above the oldest: what decides between equals
CLOSE = 0.98  # of the best one's nearness that another match has at least
NEIGHBOURS = 0.3  # of the results that come just before or after another (EM-LLM)


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
