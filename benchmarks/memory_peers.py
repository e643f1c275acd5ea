"""Peers of `benchmarks.memory`: full text alone, vectors alone, and emem, given the same day.

Each is asked twice: for the nearest, and for the latest of its ten nearest, which is the better way
to read a plain index where the question is "where last".
"""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from benchmarks.memory_day import Encode, Moment
from retrieval.encoders.text import Vectors
from retrieval.memory.events import SCALE
from retrieval.sources.sentences import search_words
from stream.clock import NS_PER_S

NEAREST = 10


class Peer(Protocol):
    """A memory that is filled with a day and asked."""

    def add(self, moment: Moment) -> None:
        """Take in one event."""

    def nearest(self, question: str) -> list[str]:
        """Ids of at most NEAREST events, the nearest first."""

    def size(self) -> int:
        """Bytes on disk."""


class FullText:
    """SQLite's FTS5 with BM25 over names, text and utterances, any word of the question."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "fts.sqlite"
        self._db = sqlite3.connect(self._path)
        self._db.execute(
            "CREATE VIRTUAL TABLE words USING fts5(id UNINDEXED, told, tokenize='porter')"
        )

    def add(self, moment: Moment) -> None:
        """Take in one event."""
        row = (moment.event.id, moment.words)
        self._db.execute("INSERT INTO words VALUES (?, ?)", row)

    def nearest(self, question: str) -> list[str]:
        """Best BM25 first."""
        terms = " OR ".join(f'"{word}"' for word in search_words(question))
        query = "SELECT id FROM words WHERE words MATCH ? ORDER BY rank LIMIT ?"
        return [row[0] for row in self._db.execute(query, (terms, NEAREST))]

    def size(self) -> int:
        """Bytes on disk."""
        self._db.commit()
        return self._path.stat().st_size


class Dense:
    """Every vector in float32 (events' words, frames, sights), the nearest of an event's counts."""

    def __init__(self, encode: Encode) -> None:
        self._encode = encode
        self._rows: list[Vectors] = []
        self._ids: list[str] = []
        self._matrix: Vectors | None = None

    def add(self, moment: Moment) -> None:
        """Take in one event."""
        seen = [sight.meaning for sight in moment.sights if sight.meaning is not None]
        seen += [] if moment.event.frame is None else [moment.event.frame]
        rows = [self._encode([moment.words])[0], *(v.astype(np.float32) / SCALE for v in seen)]
        self._rows += rows
        self._ids += [moment.event.id] * len(rows)

    def nearest(self, question: str) -> list[str]:
        """Best cosine first."""
        if self._matrix is None:
            self._matrix, self._rows = np.stack(self._rows), []
        scores = self._matrix @ self._encode([question])[0]
        order = np.argsort(-scores)[: NEAREST * 8]
        return list(dict.fromkeys(self._ids[row] for row in order))[:NEAREST]

    def size(self) -> int:
        """Bytes of its vectors; it keeps none on disk."""
        return 0 if self._matrix is None else self._matrix.nbytes


class Emem:
    """emem (PyPI), an observation an event, with the same text encoder."""

    def __init__(self, folder: Path, encode: Encode, dim: int, module: ModuleType) -> None:
        provider = module.embeddings.CallableEmbeddingProvider(encode, dim)
        self._folder, self._ids = folder, dict[str, str]()
        self._memory: Any = module.SpatioTemporalMemory(
            str(folder / "emem.db"), embedding_provider=provider, get_current_time=lambda: 1e9
        )

    def add(self, moment: Moment) -> None:
        """Take in one event; its place is not known."""
        at = 1.0 + moment.event.start_ns / NS_PER_S
        self._ids[self._memory.add(moment.words, 0.0, 0.0, timestamp=at)] = moment.event.id

    def nearest(self, question: str) -> list[str]:
        """As its own search ranks them."""
        self._memory._ensure_flushed()
        found = self._memory._store.semantic_search(question, n_results=NEAREST)
        return [self._ids[one.id] for one in found if one.id in self._ids]

    def size(self) -> int:
        """Bytes of its database and index, once saved."""
        self._memory._store.save()
        return sum(path.stat().st_size for path in self._folder.glob("emem*"))


def latest(ids: Sequence[str]) -> list[str]:
    """The same, the latest first: events are numbered in time."""
    return sorted(ids, key=lambda one: -int(one[1:]))
