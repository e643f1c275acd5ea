"""A knowledge index opened: one generation of its entries, vectors and words, in memory.

The folder holds index.sqlite, the one truth (store/schema.py), and `derived`, which is made from
it (store/derived.py). Entries and passages are numbered in the order in which they were added.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from retrieval.encoders.conse import class_vectors
from retrieval.encoders.text import Progress, TextEncoder, Vectors
from retrieval.sources.entries import Entry, Knowledge
from retrieval.store.caches.derived import Derived, derive
from retrieval.store.caches.vectors import Allowed
from retrieval.store.caches.words import Bm25
from retrieval.store.changes import EMBEDDED_PASSAGES, class_keys, replace_entries
from retrieval.store.migration import migrate
from retrieval.store.rows import Metadata, Numbers, read_entries, read_metadata, read_placed
from retrieval.store.schema import (
    FILE,
    REBUILD,
    create_database,
    generation,
    reading,
    settings,
)
from retrieval.store.space import VectorSpace
from stream.errors import AssetError
from stream.events import QueryFilter


@dataclass(frozen=True, slots=True, eq=False)
class KnowledgeStore:
    """Everything a searcher needs, loaded.

    Passages are numbered through all entries: those of entry e are starts[e]..starts[e + 1] - 1.
    """

    source: str
    encoder_id: str
    generation: int  # of the index, as it was opened
    entries: tuple[Entry, ...]
    metadata: Metadata
    starts: Numbers  # [E + 1] first passage number of each entry
    entity: VectorSpace  # of entries: the title and what it is
    passage: VectorSpace  # of passages, the first few of each entry
    words: Bm25  # one document per passage, title words included
    classes: tuple[str, ...] = ()  # names of each class whose vector was stored, joined
    class_vectors: Vectors | None = None  # [C, D]

    @property
    def passage_entry(self) -> Numbers:
        """[P] entry number of each passage."""
        return np.repeat(np.arange(len(self.entries)), np.diff(self.starts))

    def allowed(self, wanted: QueryFilter) -> Allowed | None:
        """[E] which entries a filter admits; None: all."""
        if wanted == QueryFilter():
            return None
        known = self.metadata
        told = zip(known.sources, known.tiers, known.tags, known.at_ns, strict=True)
        return np.array([wanted.admits(*one) for one in told], np.bool_)


def build_store(
    knowledge: Knowledge,
    encoder: TextEncoder,
    classes: Sequence[Sequence[str]] = (),
    progress: Progress | None = None,
    embedded: int = EMBEDDED_PASSAGES,
) -> KnowledgeStore:
    """An index in memory alone; see `replace_entries`."""
    vectors = class_vectors(encoder, classes) if classes else None
    with closing(create_database(None)) as db:
        replace_entries(
            db,
            knowledge,
            encoder,
            class_keys(classes),
            vectors,
            embedded,
            progress=progress,
        )
        return read_store(db, None)


def load_store(folder: Path, encoder_id: str | None = None) -> KnowledgeStore:
    """Read a folder; raises AssetError for a missing, damaged or foreign index.

    `encoder_id`, where given, must be the encoder the index was built with. An index of the form
    before index.sqlite is brought into this one first, once.
    """
    migrate(folder)
    with reading(folder / FILE) as db:
        known = settings(db)
        if not generation(db):
            raise AssetError(
                f"expected an index in {folder}, got one whose build was interrupted; go on with "
                "`foveal index build`"
            )
        if encoder_id is not None and known["encoder"] != encoder_id:
            raise AssetError(
                f"expected an index built with encoder {encoder_id} in {folder}, "
                f"got {known['encoder']}; {REBUILD}"
            )
        return read_store(db, folder)


def read_store(db: sqlite3.Connection, folder: Path | None) -> KnowledgeStore:
    """The generation that `db` sees; derived files are read from and written to `folder`."""
    known = settings(db)
    numbers, entries = read_entries(db)
    starts = np.concatenate(([0], np.cumsum([len(e.passages) for e in entries]))).astype(np.int64)
    made = derive(db, numbers, entries, folder)
    entity, passage = _spaces(db, made, numbers, starts)
    names, vectors = _classes(db, int(known["dim"]))
    return KnowledgeStore(
        known["source"],
        known["encoder"],
        generation(db),
        entries,
        read_metadata(db),
        starts,
        entity,
        passage,
        made.words,
        names,
        vectors,
    )


def _spaces(
    db: sqlite3.Connection, made: Derived, numbers: Numbers, starts: Numbers
) -> tuple[VectorSpace, VectorSpace]:
    """Row numbers of the database become numbers of entries and passages."""
    spaces = []
    for entity, index, rows in (
        (True, made.entity, made.entity_rows),
        (False, made.passage, made.passage_rows),
    ):
        placed = read_placed(db, entity)
        entry = np.searchsorted(numbers, placed.entries)
        things = entry if entity else starts[entry] + placed.places
        number = np.full(len(rows), -1, np.int64)
        number[np.searchsorted(rows, placed.rows)] = things
        count = len(numbers) if entity else int(starts[-1])
        spaces.append(VectorSpace(index, number, count))
    return spaces[0], spaces[1]


def _classes(db: sqlite3.Connection, dim: int) -> tuple[tuple[str, ...], Vectors | None]:
    rows = db.execute("SELECT names, vector FROM classes ORDER BY place").fetchall()
    if not rows:
        return (), None
    vectors = np.frombuffer(b"".join(vector for _, vector in rows), np.float32)
    return tuple(str(names) for names, _ in rows), vectors.reshape(-1, dim).copy()
