"""What is derived from the one truth: FAISS indexes and the word index, kept beside it.

They bear the index's name, the generation that they were made from, and the digest of each file.
Those that are missing, damaged or of another index are made again; those of an earlier generation
are brought up to date: what was added since is appended, what was deleted stands for nothing.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

import numpy as np

from retrieval.encoders.text import Vectors
from retrieval.sources.entries import Entry
from retrieval.sources.sentences import search_words
from retrieval.store.caches.inverted import FLAT_ROWS, nearest_index
from retrieval.store.caches.vectors import EXACT, FaissIndex
from retrieval.store.caches.words import Bm25
from retrieval.store.encoding import read_blocks
from retrieval.store.rows import Numbers, read_placed, read_vector_rows
from retrieval.store.schema import generation, settings
from stream.errors import AssetError

FOLDER, STAMP = "derived", "stamp.json"
PARTS = ("entity", "passage", "words", "rows")
FORMAT = 1
DEAD_SHARE = 0.2  # of an index that stand for nothing: more, and it is made again
GROWN = 2.0  # times what its lists were trained for


@dataclass(slots=True, eq=False)
class Derived:
    """Indexes, and what each of their rows was made from."""

    generation: int
    entity: FaissIndex
    entity_rows: Numbers  # [rows of `entity`] row numbers in the database
    passage: FaissIndex
    passage_rows: Numbers
    words: Bm25
    words_entries: Numbers  # [documents of `words`] entry number of each


def derive(
    db: sqlite3.Connection, numbers: Numbers, entries: tuple[Entry, ...], folder: Path | None
) -> Derived:
    """The indexes of the generation that `db` sees; read from `folder`, and written there.

    Where it cannot be written they are in memory alone.
    """
    known = settings(db)
    dim = int(known["dim"])
    old = None if folder is None else read_derived(folder, known["index"])
    entity, passage, words = (None, None, None) if old is None else _parts(old)
    made = Derived(
        generation(db),
        *_space(db, True, dim, entity),
        *_space(db, False, dim, passage),
        *_words(numbers, entries, words),
    )
    if folder is not None and (old is None or (_differs(old, made))):
        with suppress(OSError, RuntimeError):  # a cache: it is made again
            write_derived(made, folder, known["index"])
    return made


def read_derived(folder: Path, index: str) -> Derived | None:
    """What lies in an index's folder, or None where it is not whole or another index's."""
    inside = folder / FOLDER
    try:
        stamp = json.loads((inside / STAMP).read_text(encoding="utf-8"))
        if stamp["format"] != FORMAT or stamp["index"] != index:
            return None
        files = {part: inside / str(told["name"]) for part, told in stamp["files"].items()}
        if any(file_sha256(files[part]) != told["sha256"] for part, told in stamp["files"].items()):
            return None
        with np.load(files["rows"], allow_pickle=False) as rows:
            arrays = {name: np.asarray(rows[name], np.int64) for name in rows.files}
        return Derived(
            int(stamp["generation"]),
            FaissIndex.load(files["entity"]),
            arrays["entity"],
            FaissIndex.load(files["passage"]),
            arrays["passage"],
            Bm25.load(files["words"]),
            arrays["words"],
        )
    except (OSError, ValueError, KeyError, TypeError, AssetError):
        return None


def write_derived(made: Derived, folder: Path, index: str) -> None:
    """Files of a new name, then the stamp that names them; older ones go."""
    inside = folder / FOLDER
    inside.mkdir(exist_ok=True)
    mark = f"{made.generation}-{token_hex(4)}"
    names = {part: f"{part}-{mark}.{_suffix(part)}" for part in PARTS}
    made.entity.save(inside / names["entity"])
    made.passage.save(inside / names["passage"])
    for part in ("entity", "passage"):
        exact = (inside / names[part]).with_suffix(EXACT)
        if exact.is_file():  # of inverted lists
            names[f"{part}-exact"] = exact.name
    made.words.save(inside / names["words"])
    rows: dict[str, Any] = {
        "entity": made.entity_rows,
        "passage": made.passage_rows,
        "words": made.words_entries,
    }
    np.savez(inside / names["rows"], **rows)
    files = {
        part: {"name": name, "sha256": file_sha256(inside / name)} for part, name in names.items()
    }
    stamp = {"format": FORMAT, "index": index, "generation": made.generation, "files": files}
    fresh = inside / f"stamp-{mark}.tmp"
    fresh.write_text(json.dumps(stamp, indent=2) + "\n", encoding="utf-8")
    fresh.replace(inside / STAMP)
    for path in inside.iterdir():
        if path.name != STAMP and path.name not in names.values():
            path.unlink(missing_ok=True)


def file_sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _parts(
    old: Derived,
) -> tuple[tuple[FaissIndex, Numbers], tuple[FaissIndex, Numbers], tuple[Bm25, Numbers]]:
    return (
        (old.entity, old.entity_rows),
        (old.passage, old.passage_rows),
        (old.words, old.words_entries),
    )


def _differs(old: Derived, made: Derived) -> bool:
    """Whether more than deletions lies between; an older reader leaves newer files alone."""
    same = (
        np.array_equal(old.entity_rows, made.entity_rows)
        and np.array_equal(old.passage_rows, made.passage_rows)
        and np.array_equal(old.words_entries, made.words_entries)
    )
    return not same and made.generation >= old.generation


def _space(
    db: sqlite3.Connection, entity: bool, dim: int, old: tuple[FaissIndex, Numbers] | None
) -> tuple[FaissIndex, Numbers]:
    """The old index with what was added since, or a new one."""
    rows = read_placed(db, entity).rows
    if old is not None and _usable(*old, rows, dim):
        index, stored = old
        last = int(stored[-1]) if stored.size else 0
        added = rows[rows > last]
        for block in read_blocks(read_vector_rows(db, entity, last), dim):
            index.add(block)
        return index, np.concatenate((stored, added))

    def blocks() -> Iterable[Vectors]:
        return read_blocks(read_vector_rows(db, entity), dim)

    return nearest_index(dim, len(rows), blocks), rows


def _usable(index: FaissIndex, stored: Numbers, rows: Numbers, dim: int) -> bool:
    if index.dim != dim or index.size != len(stored):
        return False
    dead = len(stored) - int(np.isin(stored, rows, assume_unique=True).sum())
    fits = len(rows) <= FLAT_ROWS if index.kind == "flat" else len(rows) > FLAT_ROWS / 2
    return fits and dead <= DEAD_SHARE * len(stored) and len(rows) <= GROWN * max(1, len(stored))


def _words(
    numbers: Numbers, entries: tuple[Entry, ...], old: tuple[Bm25, Numbers] | None
) -> tuple[Bm25, Numbers]:
    """One document a passage, title words included; only of these entries."""
    words, owners = (Bm25.build([]), np.zeros(0, np.int64)) if old is None else old
    if words.size != len(owners):
        words, owners = Bm25.build([]), np.zeros(0, np.int64)
    keep = np.isin(owners, numbers)
    words, owners = words.kept(keep), owners[keep]
    last = int(owners[-1]) if owners.size else 0
    added = [(int(n), e) for n, e in zip(numbers, entries, strict=True) if n > last]
    if not added:
        return words, owners
    documents = [
        search_words(f"{entry.title} {text}") for _, entry in added for text in entry.passages
    ]
    own = [number for number, entry in added for _ in entry.passages]
    fresh = Bm25.build(documents)
    joined = fresh if not words.size else words.joined(fresh)
    return joined, np.concatenate((owners, np.array(own, np.int64)))


def _suffix(part: str) -> str:
    return "faiss" if part in ("entity", "passage") else "npz"
