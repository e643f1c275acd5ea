"""Whether an index is whole: every page, entry and vector against what was stored of it."""

import json
import sqlite3
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from retrieval.sources.entries import Entry
from retrieval.store.caches.derived import read_derived
from retrieval.store.migration import migrate
from retrieval.store.rows import entry_digest
from retrieval.store.schema import FILE, generation, reading, settings

SHOWN = 100  # faults of a kind
_UNUSED = "vectors WHERE number NOT IN (SELECT vector FROM rows)"


@dataclass(frozen=True, slots=True)
class Check:
    """What an index holds, and what is wrong with it."""

    generation: int
    entries: int
    passages: int
    vectors: int
    waiting: int  # encoded by a build that has not ended
    encoder: str
    bytes: int  # of the database
    derived: str  # fresh, older, or missing: made again when the index is opened
    faults: tuple[str, ...]


def check_index(folder: Path) -> Check:
    """Read all of it; raises AssetError for what cannot be opened at all."""
    migrate(folder)
    with reading(folder / FILE) as db:
        known = settings(db)
        faults = [text for part in (_pages, _entries, _vectors, _links) for text in part(db)]
        derived = read_derived(folder, known.get("index", ""))
        now = generation(db)
        state = "missing" if derived is None else "fresh"
        return Check(
            now,
            _count(db, "SELECT count(*) FROM entries"),
            _count(db, "SELECT count(*) FROM passages"),
            _count(db, "SELECT count(*) FROM rows"),
            _count(
                db, "SELECT count(*) FROM vectors WHERE number NOT IN (SELECT vector FROM rows)"
            ),
            known.get("encoder", ""),
            (folder / FILE).stat().st_size,
            "older" if derived is not None and derived.generation != now else state,
            tuple(faults),
        )


def _pages(db: sqlite3.Connection) -> Iterator[str]:
    for (said,) in db.execute(f"PRAGMA integrity_check({SHOWN})"):
        if said != "ok":
            yield f"SQLite: {said}"


def _entries(db: sqlite3.Connection) -> Iterator[str]:
    asked = "SELECT text FROM passages WHERE entry = ? ORDER BY place"
    for number, name, digest, data in db.execute("SELECT number, id, digest, data FROM entries"):
        passages = [text for (text,) in db.execute(asked, (number,))]
        try:
            entry = Entry.from_json({**json.loads(data), "passages": passages})
            same = entry_digest(entry) == digest and entry.id == name
        except (ValueError, KeyError, TypeError):
            same = False
        if not same:
            yield f"entry {name!r}: not as it was stored"


def _vectors(db: sqlite3.Connection) -> Iterator[str]:
    asked = (
        "SELECT vectors.number, vector, crc, dim FROM vectors"
        " LEFT JOIN encoders ON encoders.number = vectors.encoder"
    )
    for number, vector, crc, dim in db.execute(asked):
        if dim is None or len(vector) != 2 * dim or zlib.crc32(vector) != crc:
            yield f"vector {number}: not as it was stored"
        elif not np.isfinite(np.frombuffer(vector, np.float16)).all():
            yield f"vector {number}: NaN or infinity"


def _links(db: sqlite3.Connection) -> Iterator[str]:
    """Rows without a vector or an entry, and entries without passages or a vector of their own."""
    for what, asked in (
        ("rows without a vector", "rows WHERE vector NOT IN (SELECT number FROM vectors)"),
        ("rows without an entry", "rows WHERE entry NOT IN (SELECT number FROM entries)"),
        ("passages without an entry", "passages WHERE entry NOT IN (SELECT number FROM entries)"),
        ("entries without text", "entries WHERE number NOT IN (SELECT entry FROM passages)"),
        (
            "entries without a vector",
            "entries WHERE number NOT IN (SELECT entry FROM rows WHERE place = -1)",
        ),
    ):
        count = _count(db, f"SELECT count(*) FROM {asked}")  # noqa: S608  # texts above
        if count:
            yield f"{count} {what}"


def _count(db: sqlite3.Connection, asked: str) -> int:
    return int(db.execute(asked).fetchone()[0])
