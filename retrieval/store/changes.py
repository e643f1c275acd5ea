"""Changes of an index: its entries become a source's, some are added, some are deleted.

Each is one transaction, and makes the next generation. What is refused is named with its reason,
and the rest goes on. Vectors are encoded and stored before it (store/encoding.py).
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from retrieval.encoders.text import Progress, TextEncoder, Vectors
from retrieval.sources.entries import Entry, Knowledge
from retrieval.store.encoding import drop_unused, store_vectors, text_key
from retrieval.store.rows import (
    drop_freed_vectors,
    embedded_texts,
    entry_digest,
    insert_entry,
    remove_entries,
)
from retrieval.store.schema import REBUILD, generation, set_settings, settings, transaction
from stream.errors import QueryError, SourceError

EMBEDDED_PASSAGES = 3  # per entry unless told; later ones are found by their words only
FREE_SHARE = 0.2  # of the file: more, and it is made shorter


@dataclass(frozen=True, slots=True)
class Change:
    """What was acknowledged."""

    generation: int
    added: int = 0  # entries, those that take the place of an older one included
    removed: int = 0
    unchanged: int = 0
    encoded: int = 0  # texts; those whose vectors were found were not encoded again
    refused: tuple[str, ...] = ()  # "id: reason"


def class_keys(classes: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """One string per class, to tell whether stored vectors are of the same classes."""
    return tuple(", ".join(names) for names in classes)


def replace_entries(
    db: sqlite3.Connection,
    knowledge: Knowledge,
    encoder: TextEncoder,
    classes: tuple[str, ...] = (),
    class_vectors: Vectors | None = None,
    embedded: int = EMBEDDED_PASSAGES,
    source_sha256: str = "",
    progress: Progress | None = None,
) -> Change:
    """The index becomes exactly this knowledge; what it had and is the same stays as it is.

    `embedded` is how many of an entry's passages get a vector; `classes` are an image
    classifier's names, whose vectors [C, D] are kept for its queries.
    """
    known = settings(db)
    same = (known.get("encoder"), known.get("embedded")) == (encoder.id, str(embedded))
    present = _present(db)
    told, refused = _unique(knowledge.entries)
    stays = {e.id for e in told if same and present.get(e.id, _NONE)[1] == entry_digest(e)}
    fresh = [entry for entry in told if entry.id not in stays]
    vectors, encoded = store_vectors(db, encoder, _texts(fresh, embedded), progress)
    fresh, broken = _encodable(fresh, vectors, encoder.id, embedded)
    refused += broken
    if not fresh and not stays:
        raise SourceError(f"expected at least one entry for {knowledge.source}, got 0")
    gone = [number for name, (number, _) in present.items() if name not in stays]
    table = _class_rows(classes, class_vectors)
    facts = {
        "source": knowledge.source,
        "source_sha256": source_sha256,
        "encoder": encoder.id,
        "dim": encoder.dim,
        "embedded": embedded,
    }
    now = generation(db)
    told_before = all(known.get(name) == str(fact) for name, fact in facts.items())
    if fresh or gone or not told_before or table != _stored_classes(db):
        with transaction(db):
            now += 1
            remove_entries(db, gone)
            for entry in fresh:
                insert_entry(db, entry, knowledge.source, now, vectors, encoder.id, embedded)
            drop_freed_vectors(db)
            db.execute("DELETE FROM classes")
            db.executemany("INSERT INTO classes VALUES (?, ?, ?)", table)
            set_settings(db, generation=now, **facts)
    with transaction(db):
        drop_unused(db)
    _tidy(db)
    replaced = {entry.id for entry in fresh} & present.keys()
    removed = len(gone) - len(replaced)
    return Change(now, len(fresh), removed, len(stays), encoded, tuple(refused))


def add_entries(
    db: sqlite3.Connection,
    knowledge: Knowledge,
    encoder: TextEncoder,
    replace: bool = False,
    progress: Progress | None = None,
) -> Change:
    """Entries that are not there yet; one whose id is there with other words is refused.

    With `replace` it takes the place of the older one. Raises QueryError for an encoder that is
    not the index's.
    """
    known = settings(db)
    if known["encoder"] != encoder.id:
        raise QueryError(
            f"expected the encoder {known['encoder']} of the index, got {encoder.id}; {REBUILD}"
        )
    embedded, present = int(known["embedded"]), _present(db)
    told, refused = _unique(knowledge.entries)
    stays = [e for e in told if present.get(e.id, _NONE)[1] == entry_digest(e)]
    fresh = [e for e in told if present.get(e.id, _NONE)[1] != entry_digest(e)]
    if not replace:
        refused += [
            f"{e.id}: the index has it with other words; --replace takes these"
            for e in fresh
            if e.id in present
        ]
        fresh = [entry for entry in fresh if entry.id not in present]
    vectors, encoded = store_vectors(db, encoder, _texts(fresh, embedded), progress)
    fresh, broken = _encodable(fresh, vectors, encoder.id, embedded)
    refused += broken
    now = generation(db)
    if fresh:
        with transaction(db):
            now += 1
            remove_entries(db, [present[e.id][0] for e in fresh if e.id in present])
            for entry in fresh:
                insert_entry(db, entry, knowledge.source, now, vectors, encoder.id, embedded)
            drop_freed_vectors(db)
            set_settings(db, generation=now)
    _tidy(db)
    return Change(now, len(fresh), 0, len(stays), encoded, tuple(refused))


def delete_entries(db: sqlite3.Connection, ids: Sequence[str]) -> Change:
    """Entries by their ids; an id that is not there is refused and the others go."""
    present = _present(db)
    wanted = list(dict.fromkeys(ids))
    refused = tuple(f"{one}: no such entry" for one in wanted if one not in present)
    gone = [present[one][0] for one in wanted if one in present]
    now = generation(db)
    if gone:
        with transaction(db):
            now += 1
            remove_entries(db, gone)
            drop_freed_vectors(db)
            set_settings(db, generation=now)
        _tidy(db)
    return Change(now, removed=len(gone), refused=refused)


def known_class_vectors(
    db: sqlite3.Connection, encoder_id: str, classes: tuple[str, ...]
) -> Vectors | None:
    """[C, D] where this encoder has encoded just these classes, else None."""
    rows = _stored_classes(db)
    if settings(db).get("encoder") != encoder_id or classes != tuple(row[1] for row in rows):
        return None
    return np.frombuffer(b"".join(row[2] for row in rows), np.float32).reshape(len(rows), -1)


def _class_rows(classes: tuple[str, ...], vectors: Vectors | None) -> list[tuple[int, str, bytes]]:
    if vectors is None:
        return []
    rows = zip(classes, np.asarray(vectors, np.float32), strict=True)
    return [(place, name, row.tobytes()) for place, (name, row) in enumerate(rows)]


def _stored_classes(db: sqlite3.Connection) -> list[tuple[int, str, bytes]]:
    return db.execute("SELECT place, names, vector FROM classes ORDER BY place").fetchall()


_NONE: tuple[int, bytes] = (0, b"")


def _present(db: sqlite3.Connection) -> dict[str, tuple[int, bytes]]:
    """Number and digest of every entry, by its id."""
    rows = db.execute("SELECT id, number, digest FROM entries")
    return {str(name): (int(number), bytes(digest)) for name, number, digest in rows}


def _unique(entries: Sequence[Entry]) -> tuple[list[Entry], list[str]]:
    """The first of each id; a later one is refused, never silently put in its place."""
    found: dict[str, Entry] = {}
    refused = []
    for entry in entries:
        if not entry.passages:
            refused.append(f"{entry.id}: no text")
        elif entry.id in found:
            refused.append(f"{entry.id}: duplicate id; the first one is kept")
        else:
            found[entry.id] = entry
    return list(found.values()), refused


def _texts(entries: Sequence[Entry], embedded: int) -> list[str]:
    """Entity texts first, as most are short."""
    texts = [entry.entity_text for entry in entries]
    return texts + [text for e in entries for text in embedded_texts(e, embedded)[1:]]


def _encodable(
    entries: Sequence[Entry], vectors: dict[bytes, int], encoder_id: str, embedded: int
) -> tuple[list[Entry], list[str]]:
    """Entries all of whose texts have a vector, and the others' refusals."""
    kept, refused = [], []
    for entry in entries:
        keys = (text_key(encoder_id, text) for text in embedded_texts(entry, embedded))
        if all(key in vectors for key in keys):
            kept.append(entry)
        else:
            refused.append(f"{entry.id}: expected finite vectors, got NaN or infinity")
    return kept, refused


def _tidy(db: sqlite3.Connection) -> None:
    """Shorten a file that is mostly free, and put the log into it."""
    free, pages = (
        int(db.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("freelist_count", "page_count")
    )
    if free > FREE_SHARE * np.maximum(pages, 1):
        db.executescript("PRAGMA incremental_vacuum")  # `execute` makes one step of it
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
