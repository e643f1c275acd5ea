"""The file of a picture index: pictures, their regions with masks, and a vector of each.

SQLite is the one truth, as for knowledge (retrieval/store/schema.py): a picture and its regions
are one transaction, so that a build goes on where it stopped.
"""

import json
import sqlite3
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval.encoders.text import Vectors
from retrieval.store.encoding import read_blocks
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
from stream.geometry import Box, Rle

FILE = "pictures.sqlite"
BLOCK = 4096  # rows of vectors that are read at once
_OWN = tuple(f"{name}{end}" for name in (FILE, LOCK) for end in ("", "-wal", "-shm", "-journal"))
PICTURES = FileForm(
    "an index of pictures",
    0x466F5069,  # "FoPi"
    1,
    """
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE pictures (  -- key: of the file's bytes, who made its masks and the encoder
    number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, key BLOB NOT NULL,
    height INTEGER NOT NULL, width INTEGER NOT NULL, vector BLOB NOT NULL, crc INTEGER NOT NULL
);
CREATE TABLE regions (  -- mask: COCO's column-major runs as <u4, compressed
    number INTEGER PRIMARY KEY, picture INTEGER NOT NULL, mask BLOB NOT NULL,
    x0 INTEGER NOT NULL, y0 INTEGER NOT NULL, x1 INTEGER NOT NULL, y1 INTEGER NOT NULL,
    area INTEGER NOT NULL, vector BLOB NOT NULL, crc INTEGER NOT NULL
);
CREATE INDEX regions_picture ON regions (picture);
""",
    "build it again with `foveal pictures build`",
)


@dataclass(frozen=True, slots=True, eq=False)
class EncodedPicture:
    """What is stored of one picture."""

    name: str  # its path from the folder on
    key: bytes
    size: tuple[int, int]  # height, width
    vector: Vectors  # [D] unit
    masks: tuple[Rle, ...]  # not empty, the picture's size
    boxes: tuple[Box, ...]
    vectors: Vectors  # [masks, D] unit


@dataclass(frozen=True, slots=True, eq=False)
class PictureIndex:
    """All of an index in memory but the pictures themselves."""

    root: Path  # that the names are paths from
    encoder: str
    named: str  # how the encoder is opened
    canaries: Mapping[str, Any]
    whole: bool  # whether its build came to its end
    names: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    pictures: Vectors  # [P, D]
    regions: Vectors  # [R, D]
    owner: npt.NDArray[np.int64]  # [R] places of pictures
    boxes: tuple[Box, ...]
    runs: tuple[bytes, ...]  # of the masks, as stored

    def mask(self, region: int) -> Rle:
        """The mask of a region; raises AssetError for a damaged one."""
        try:
            counts = np.frombuffer(zlib.decompress(self.runs[region]), "<u4").tolist()
            return Rle(self.sizes[self.owner[region]], tuple(counts))
        except (zlib.error, ValueError) as error:
            raise AssetError(
                f"expected a mask as it was stored: {error}; {PICTURES.rebuild}"
            ) from error


@contextmanager
def picture_writer(folder: Path) -> Iterator[sqlite3.Connection]:
    """The folder's one writer, of an index that is made where none is.

    Raises OutputError where nothing can be written, another process writes, or the folder holds
    something else; AssetError for a damaged index.
    """
    if folder.is_dir():
        strange = [one.name for one in sorted(folder.iterdir()) if one.name not in {*_OWN, OWNER}]
        if strange:
            raise OutputError(
                f"expected a new folder or an index of pictures, got {folder} with {strange[0]} in "
                "it; choose another --out"
            )
    path = folder / FILE
    with (
        writer_lock(folder),
        closing(create_database(path, PICTURES)) as db,
        faults(path, form=PICTURES),
    ):
        yield db


def told(db: sqlite3.Connection) -> dict[str, Any]:
    """Root, encoder, dim, canaries, whole; empty for an index that is new."""
    value: dict[str, Any] = json.loads(settings(db).get("told", "{}"))
    return value


def tell(db: sqlite3.Connection, **values: object) -> None:
    """Set some of what `told` reads, in a transaction."""
    with transaction(db):
        set_settings(db, told=json.dumps({**told(db), **values}))


def known_keys(db: sqlite3.Connection) -> dict[str, bytes]:
    """The key of each picture that is there, by its name."""
    return {str(name): bytes(key) for name, key in db.execute("SELECT name, key FROM pictures")}


def put_picture(db: sqlite3.Connection, picture: EncodedPicture) -> None:
    """In the place of one of that name, in one transaction."""
    with transaction(db):
        _drop(db, picture.name)
        cursor = db.execute(
            "INSERT INTO pictures (name, key, height, width, vector, crc) VALUES (?,?,?,?,?,?)",
            (picture.name, picture.key, *picture.size, *_packed(picture.vector)),
        )
        rows = zip(picture.masks, picture.boxes, picture.vectors, strict=True)
        db.executemany(
            "INSERT INTO regions (picture, mask, x0, y0, x1, y1, area, vector, crc)"
            " VALUES (?,?,?,?,?,?,?,?,?)",
            [
                (
                    cursor.lastrowid,
                    zlib.compress(np.array(mask.counts, "<u4").tobytes()),
                    *box,
                    mask.area,
                    *_packed(vector),
                )
                for mask, box, vector in rows
            ],
        )


def drop_pictures(db: sqlite3.Connection, names: Sequence[str]) -> None:
    """Pictures with their regions, in one transaction."""
    with transaction(db):
        for name in names:
            _drop(db, name)


def load_pictures(folder: Path) -> PictureIndex:
    """Raises AssetError for what is no index of pictures, damaged, or of a later version."""
    with reading(folder / FILE, PICTURES) as db:
        try:
            known = told(db)
            root, encoder = Path(known["root"]), str(known["encoder"])
            canaries, dim = dict(known["canaries"]), int(known["dim"])
        except (KeyError, TypeError, ValueError) as error:
            raise AssetError(f"expected a begun index in {folder}; {PICTURES.rebuild}") from error
        pictures = db.execute(
            "SELECT number, name, height, width FROM pictures ORDER BY name"
        ).fetchall()
        place = {number: at for at, (number, *_) in enumerate(pictures)}
        order = "FROM regions JOIN pictures p ON p.number = picture ORDER BY p.name, regions.number"
        regions = db.execute(f"SELECT picture, mask, x0, y0, x1, y1 {order}").fetchall()
        return PictureIndex(
            root,
            encoder,
            str(known.get("named", "")),
            canaries,
            known.get("whole") is True,
            tuple(row[1] for row in pictures),
            tuple((row[2], row[3]) for row in pictures),
            _vectors(db, "SELECT vector, crc FROM pictures ORDER BY name", dim),
            _vectors(db, f"SELECT regions.vector, regions.crc {order}", dim),
            np.array([place[row[0]] for row in regions], np.int64),
            tuple((row[2], row[3], row[4], row[5]) for row in regions),
            tuple(row[1] for row in regions),
        )


def has_pictures(folder: Path) -> bool:
    """Whether a folder holds an index of pictures, whole or begun."""
    with suppress(AssetError), reading(folder / FILE, PICTURES):
        return True
    return False


def _vectors(db: sqlite3.Connection, asked: str, dim: int) -> Vectors:
    cursor = db.execute(asked)
    blocks = list(read_blocks(iter(lambda: cursor.fetchmany(BLOCK), []), dim))
    return np.concatenate(blocks) if blocks else np.zeros((0, dim), np.float32)


def _packed(vector: Vectors) -> tuple[bytes, int]:
    raw = np.ascontiguousarray(vector, np.float16).tobytes()
    return raw, zlib.crc32(raw)


def _drop(db: sqlite3.Connection, name: str) -> None:
    numbered = "(SELECT number FROM pictures WHERE name = ?)"
    db.execute(f"DELETE FROM regions WHERE picture IN {numbered}", (name,))  # noqa: S608
    db.execute("DELETE FROM pictures WHERE name = ?", (name,))
