"""The file of an index of pages: a vector and the cells of each, cells as int8."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from retrieval.encoders.text import Vectors
from retrieval.pages.cells import Bytes, CellGrid, Shares, page_vector, quantised
from retrieval.store.lock import LOCK, OWNER, writer_lock
from retrieval.store.schema import (
    FileForm,
    create_database,
    faults,
    reading,
    set_settings,
    settings,
    transaction,
)
from stream.errors import AssetError, OutputError

FILE = "pages.sqlite"
_OWN = tuple(f"{name}{end}" for name in (FILE, LOCK) for end in ("", "-wal", "-shm", "-journal"))
PAGES = FileForm(
    "an index of pages",
    0x466F5067,  # "FoPg"
    1,
    """
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE pages (  -- vector <f2, cells int8, scales and boxes <f4
    number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, key BLOB NOT NULL,
    vector BLOB NOT NULL, cells BLOB NOT NULL, scales BLOB NOT NULL, boxes BLOB NOT NULL,
    shape TEXT NOT NULL, texts TEXT NOT NULL
);
""",
    "build it again with `foveal pages build`",
)


@dataclass(frozen=True, slots=True, eq=False)
class StoredPage:
    """The cells of a page as they are kept."""

    codes: Bytes  # [N, D]
    scales: Vectors  # [N]
    boxes: Shares
    shape: tuple[int, int] | None
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class PageIndex:
    """What is searched first; cells are read from the file."""

    folder: Path
    root: Path  # that names are paths from
    reader: str  # id of the CellReader
    named: str  # how it is opened
    names: tuple[str, ...]  # PATH, of a PDF PATH#page=N
    vectors: Vectors  # [P, D]

    def cells(self, names: Sequence[str]) -> dict[str, StoredPage]:
        """Of some pages; raises AssetError for damaged ones."""
        marks = ",".join("?" * len(names))
        asked = (
            f"SELECT name, cells, scales, boxes, shape, texts FROM pages WHERE name IN ({marks})"  # noqa: S608
        )
        with reading(self.folder / FILE, PAGES) as db:
            return {
                row[0]: _stored(row[1:], self.vectors.shape[1]) for row in db.execute(asked, names)
            }


@contextmanager
def page_writer(
    folder: Path, reader: str, dim: int, root: Path, named: str
) -> Iterator[sqlite3.Connection]:
    """The folder's one writer; an index is made where none is.

    Raises OutputError where nothing can be written or something else is there, AssetError for a
    damaged index or one of another reader.
    """
    there = sorted(folder.iterdir()) if folder.is_dir() else []
    strange = [one.name for one in there if one.name not in {*_OWN, OWNER}]
    if strange:
        raise OutputError(
            f"expected a new folder or an index of pages, got {folder} with {strange[0]} in it; "
            "choose another --out"
        )
    path = folder / FILE
    with writer_lock(folder), closing(create_database(path, PAGES)) as db, faults(path, form=PAGES):
        before = settings(db).get("reader", reader)
        if before != reader:
            raise AssetError(
                f"expected cells by {before} as in {folder}, got {reader}; choose another --out"
            )
        with transaction(db):
            set_settings(db, reader=reader, dim=dim, root=root.resolve(), named=named)
        yield db


def known_keys(db: sqlite3.Connection) -> dict[str, bytes]:
    """The key of each page that is there, by its name."""
    return {str(name): bytes(key) for name, key in db.execute("SELECT name, key FROM pages")}


def put_page(db: sqlite3.Connection, name: str, key: bytes, cells: CellGrid) -> None:
    """In the place of one of that name, in one transaction."""
    codes, scales = quantised(cells.vectors)
    row = (
        name,
        key,
        page_vector(cells).astype("<f2").tobytes(),
        codes.tobytes(),
        scales.astype("<f4").tobytes(),
        np.asarray(cells.boxes, "<f4").tobytes(),
        json.dumps(cells.shape),
        json.dumps(cells.texts),
    )
    with transaction(db):
        db.execute("DELETE FROM pages WHERE name = ?", (name,))
        db.execute(
            "INSERT INTO pages (name, key, vector, cells, scales, boxes, shape, texts)"
            " VALUES (?,?,?,?,?,?,?,?)",
            row,
        )


def drop_pages(db: sqlite3.Connection, names: Sequence[str]) -> None:
    """In one transaction."""
    with transaction(db):
        db.executemany("DELETE FROM pages WHERE name = ?", [(name,) for name in names])


def load_pages(folder: Path) -> PageIndex:
    """Raises AssetError for what is no index of pages, damaged, or of a later version."""
    with reading(folder / FILE, PAGES) as db:
        told = settings(db)
        rows = db.execute("SELECT name, vector FROM pages ORDER BY name").fetchall()
    try:
        raw = b"".join(row[1] for row in rows)
        vectors = np.frombuffer(raw, "<f2").reshape(len(rows), int(told["dim"]))
        names = tuple(row[0] for row in rows)
        root, named = Path(told["root"]), told["named"]
        return PageIndex(folder, root, told["reader"], named, names, vectors.astype(np.float32))
    except (KeyError, ValueError) as error:
        raise AssetError(f"expected a whole index in {folder}: {error}; {PAGES.rebuild}") from error


def _stored(row: Sequence[bytes], dim: int) -> StoredPage:
    cells, scales, boxes, shape, texts = row
    try:
        grid = json.loads(shape)
        return StoredPage(
            np.frombuffer(cells, np.int8).reshape(-1, dim),
            np.frombuffer(scales, "<f4"),
            np.frombuffer(boxes, "<f4").reshape(-1, 4),
            None if grid is None else (int(grid[0]), int(grid[1])),
            tuple(json.loads(texts)),
        )
    except (ValueError, TypeError, IndexError) as error:
        raise AssetError(f"expected cells as they were stored: {error}; {PAGES.rebuild}") from error
