"""Entries of an index as rows of its tables: written, and read back as numbered arrays."""

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval.sources.entries import Entry
from retrieval.store.encoding import text_key
from stream.errors import AssetError
from stream.events import Tier

BLOCK = 4096  # rows read at once
ENTITY = -1  # place of an entry's own vector; its passages follow from 0

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """Rows that have a vector, in the order of their numbers."""

    rows: Numbers  # [R] row numbers, never used twice
    entries: Numbers  # [R] entry numbers
    places: Numbers  # [R] passage of the entry, or ENTITY


@dataclass(frozen=True, slots=True, eq=False)
class Metadata:
    """What filters ask of each entry."""

    sources: tuple[str, ...]
    tiers: tuple[Tier, ...]
    tags: tuple[frozenset[str], ...]
    at_ns: tuple[int | None, ...]  # since 1970 (UTC)


def entry_digest(entry: Entry) -> bytes:
    """16 bytes that change with anything an entry says."""
    text = json.dumps(entry.as_json(), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def entry_source(entry: Entry, of: str) -> str:
    """Which of the sources read at once ("notes+letters") an entry is of: its id says it."""
    name = entry.id.partition(":")[0]
    return name if name in of.split("+") else of


def date_ns(date: str) -> int | None:
    """Nanoseconds since 1970 of an ISO 8601 day or time, UTC unless it says; None for no such."""
    try:
        moment = datetime.fromisoformat(date)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(moment.timestamp()) * 1_000_000_000


def embedded_texts(entry: Entry, embedded: int) -> list[str]:
    """What gets a vector: the entry itself, then its first passages."""
    return [entry.entity_text, *entry.passages[:embedded]]


def insert_entry(
    db: sqlite3.Connection,
    entry: Entry,
    source: str,
    generation: int,
    vectors: Mapping[bytes, int],
    encoder_id: str,
    embedded: int,
) -> None:
    """Inside a transaction; `vectors` has all that the entry refers to."""
    data = entry.as_json()
    passages = data.pop("passages")
    columns = (
        entry.id,
        entry_digest(entry),
        json.dumps(data),
        entry_source(entry, source),
        date_ns(entry.date),
        entry.license,
        json.dumps(sorted(entry.tags)),
        entry.tier,
        generation,
    )
    cursor = db.execute(
        "INSERT INTO entries (id, digest, data, source, at_ns, license, tags, tier, generation)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        columns,
    )
    number = int(cursor.lastrowid or 0)
    told = [(number, place, text) for place, text in enumerate(passages)]
    db.executemany("INSERT INTO passages VALUES (?, ?, ?)", told)
    keys = [text_key(encoder_id, text) for text in embedded_texts(entry, embedded)]
    rows = [(number, ENTITY + place, vectors[key]) for place, key in enumerate(keys)]
    db.executemany("INSERT INTO rows (entry, place, vector) VALUES (?, ?, ?)", rows)


def remove_entries(db: sqlite3.Connection, numbers: Sequence[int]) -> None:
    """With their passages and rows; inside a transaction that ends with `drop_freed_vectors`."""
    one = [(number,) for number in numbers]
    db.execute("CREATE TEMP TABLE IF NOT EXISTS freed (vector INTEGER PRIMARY KEY)")
    db.executemany("INSERT OR IGNORE INTO freed SELECT vector FROM rows WHERE entry = ?", one)
    for table, column in (("rows", "entry"), ("passages", "entry"), ("entries", "number")):
        db.executemany(f"DELETE FROM {table} WHERE {column} = ?", one)  # noqa: S608


def drop_freed_vectors(db: sqlite3.Connection) -> None:
    """Vectors that removed entries had and no other refers to, the new ones included."""
    db.execute(
        "DELETE FROM vectors WHERE number IN "
        "(SELECT vector FROM freed WHERE vector NOT IN (SELECT vector FROM rows))"
    )
    db.execute("DROP TABLE freed")


def read_entries(db: sqlite3.Connection) -> tuple[Numbers, tuple[Entry, ...]]:
    """Entry numbers and entries in their order; raises AssetError for one that is damaged."""
    passages = db.execute("SELECT entry, text FROM passages ORDER BY entry, place")
    grouped = groupby(passages, key=lambda row: int(row[0]))
    owner, texts = next(grouped, (-1, iter(())))
    numbers, entries = [], []
    for number, digest, data in db.execute("SELECT number, digest, data FROM entries ORDER BY 1"):
        own: list[str] = []
        if owner == number:
            own = [str(text) for _, text in texts]
            owner, texts = next(grouped, (-1, iter(())))
        entry = _entry(str(data), own)
        if entry is None or entry_digest(entry) != digest:
            raise AssetError(
                f"expected entry {number} as it was stored, got a damaged one; "
                "`foveal index check` names all"
            )
        numbers.append(number)
        entries.append(entry)
    return np.array(numbers, np.int64), tuple(entries)


def read_metadata(db: sqlite3.Connection) -> Metadata:
    """Of every entry, in their order."""
    rows = db.execute("SELECT source, tier, tags, at_ns FROM entries ORDER BY number").fetchall()
    sets: dict[str, frozenset[str]] = {}
    for _, _, tags, _ in rows:
        if tags not in sets:
            sets[tags] = frozenset(json.loads(tags))
    return Metadata(
        tuple(row[0] for row in rows),
        tuple(row[1] for row in rows),
        tuple(sets[row[2]] for row in rows),
        tuple(row[3] for row in rows),
    )


def read_placed(db: sqlite3.Connection, entity: bool) -> Placed:
    """Rows of the entries themselves, or of their passages."""
    asked = "SELECT number, entry, place FROM rows WHERE (place = -1) = ? ORDER BY number"
    parts = [np.array(block, np.int64) for block in _blocks(db.execute(asked, (entity,)))]
    table = np.concatenate(parts) if parts else np.zeros((0, 3), np.int64)
    return Placed(table[:, 0].copy(), table[:, 1].copy(), table[:, 2].copy())


def read_vector_rows(
    db: sqlite3.Connection, entity: bool, after: int = 0
) -> Iterator[list[tuple[bytes, int]]]:
    """Blocks of (fp16 vector, crc) of the rows numbered above `after`, in their order."""
    asked = (
        "SELECT vectors.vector, vectors.crc FROM rows JOIN vectors ON vectors.number = rows.vector"
        " WHERE (rows.place = -1) = ? AND rows.number > ? ORDER BY rows.number"
    )
    yield from _blocks(db.execute(asked, (entity, after)))


def _blocks(cursor: sqlite3.Cursor) -> Iterator[list[Any]]:
    while block := cursor.fetchmany(BLOCK):
        yield block


def _entry(data: str, passages: Sequence[str]) -> Entry | None:
    try:
        return Entry.from_json({**json.loads(data), "passages": passages})
    except (ValueError, KeyError, TypeError):
        return None
