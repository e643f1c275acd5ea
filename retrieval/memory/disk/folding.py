"""Upkeep of a memory: what is past its time goes, and vectors of what looks the same are shared.

A cup that stands on a desk all day is sighted a hundred times and looks the same each time. After a
day its sights are folded: of those of one name in one session that look alike, at most PROTOTYPES
keep their vectors, and the others point to the nearest of these. Times, boxes and names stay, so
"how often" and "when last" are as exact as before.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from retrieval.memory.disk.forgetting import forget_before
from retrieval.memory.disk.store import MemoryStore
from stream.clock import NS_PER_S

DAY_NS = 86_400 * NS_PER_S
ALIKE = 0.85  # share of equal bits of a look, or cosine where there is no look
PROTOTYPES = 4  # of sights that look alike
MAX_GROUP = 512  # sights of one name in one session that are compared with each other at a time

Rows = list[tuple[int, bytes | None, bytes | None]]  # number, meaning, look
Likeness = npt.NDArray[np.float32]  # [N, N]


def upkeep(store: MemoryStore, now_ns: int, keep_days: float | None = None) -> int:
    """Forget what ended `keep_days` before a Unix time, fold what is a day old; how many folded."""
    if keep_days is not None:
        forget_before(store, now_ns - round(keep_days * DAY_NS))
    return fold(store, now_ns - DAY_NS)


def fold(store: MemoryStore, before_ns: int) -> int:
    """Share vectors of sights that ended before a Unix time; how many gave up their own.

    Raises MemoryFileError, and then nothing is folded. Folding again changes nothing.
    """
    folded = 0
    with store.transaction() as connection:
        for rows in _groups(connection, before_ns):
            for start in range(0, len(rows), MAX_GROUP):
                pairs = _shared(rows[start : start + MAX_GROUP])
                connection.executemany(
                    "UPDATE sight SET alike = ?, meaning = NULL, look = NULL WHERE number = ?",
                    pairs,
                )
                folded += len(pairs)
        if folded:
            store.changed()
    return folded


def _groups(connection: sqlite3.Connection, before_ns: int) -> list[Rows]:
    """Sights with vectors of their own, by session and name; unnamed ones by track as well."""
    found = defaultdict[tuple[int, int, int], Rows](list)
    rows = connection.execute(
        "SELECT event.session, sight.name, iif(name.name = '', sight.track, 0), sight.number, "
        "sight.meaning, sight.look FROM sight JOIN event ON event.number = sight.event "
        "JOIN session ON session.number = event.session JOIN name ON name.number = sight.name "
        "WHERE session.anchor_ns + sight.end_ns < ? "
        "AND (sight.meaning IS NOT NULL OR sight.look IS NOT NULL) "
        "AND sight.number NOT IN (SELECT alike FROM sight WHERE alike IS NOT NULL) "
        "ORDER BY sight.number",
        (before_ns,),
    )
    for session, name, track, *row in rows:
        found[session, name, track].append((row[0], row[1], row[2]))
    return [rows for rows in found.values() if len(rows) > PROTOTYPES]


def _shared(rows: Rows) -> list[tuple[int, int]]:
    """(prototype, sight that points to it) of each cluster of sights that look alike."""
    likeness = _likeness(rows)
    free = np.ones(len(rows), np.bool_)
    pairs = []
    for seed in range(len(rows)):
        if not free[seed]:
            continue
        cluster = np.flatnonzero(free & (likeness[seed] >= ALIKE))
        free[cluster] = free[seed] = False
        kept = _prototypes(likeness, cluster)
        for place in cluster:
            if place not in kept:
                nearest = kept[int(np.argmax(likeness[place, kept]))]
                pairs.append((rows[nearest][0], rows[int(place)][0]))
    return pairs


def _prototypes(likeness: Likeness, cluster: npt.NDArray[np.int64]) -> list[int]:
    """The medoid first, then whichever is farthest from those kept (Gonzalez, 1985)."""
    if not cluster.size:
        return []
    inner = likeness[np.ix_(cluster, cluster)]
    kept = [int(inner.sum(axis=1).argmax())]
    while len(kept) < min(PROTOTYPES, cluster.size):
        kept.append(int(inner[:, kept].max(axis=1).argmin()))
    return [int(cluster[place]) for place in dict.fromkeys(kept)]


def _likeness(rows: Rows) -> Likeness:
    """[N, N]: by look where all have one, else by meaning; 0 where vectors do not compare."""
    looks = [row[2] for row in rows if row[2] is not None]
    if len(looks) == len(rows):
        return _equal_bits(looks)
    found = np.zeros((len(rows), len(rows)), np.float32)
    have = [place for place, row in enumerate(rows) if row[1] is not None and row[2] is None]
    sizes = {len(rows[place][1] or b"") for place in have}
    if len(sizes) == 1:
        data = [np.frombuffer(rows[place][1] or b"", np.int8) for place in have]
        vectors = np.stack(data).astype(np.float32)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
        found[np.ix_(have, have)] = vectors @ vectors.T
    return found


def _equal_bits(looks: Sequence[bytes]) -> Likeness:
    bits = np.unpackbits(np.stack([np.frombuffer(look, np.uint8) for look in looks]), axis=1)
    signs = bits.astype(np.float32) * 2 - 1
    return np.asarray((signs @ signs.T / bits.shape[1] + 1) / 2, np.float32)
