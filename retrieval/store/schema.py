"""The one truth of an index: a SQLite file in WAL mode, its tables, and how it is opened.

What a committed transaction holds is acknowledged: it survives kill -9 and loss of power
(synchronous=FULL). What lies beside the file in `derived` can be made again from it.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from stream.errors import AssetError, FovealError
from stream.writing import output_error

FILE = "index.sqlite"
SCHEMA = 1  # of the tables below; a file of a later one is refused
APPLICATION = 0x466F7665  # "Fove" in SQLite's header: whose file it is
REBUILD = "build it again with `foveal index build`"
BUSY_S = 60.0  # how long a reader waits for a writer's last step

_UNWRITTEN = ("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN")
_TABLES = """
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE encoders (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, dim INTEGER NOT NULL
);
CREATE TABLE canaries (  -- what an encoder made of fixed texts when the index was built
    encoder INTEGER NOT NULL, place INTEGER NOT NULL, text TEXT NOT NULL, vector BLOB NOT NULL,
    PRIMARY KEY (encoder, place)
) WITHOUT ROWID;
CREATE TABLE vectors (  -- fp16, one for each text that was ever encoded; rows refer to them
    number INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, encoder INTEGER NOT NULL,
    vector BLOB NOT NULL, crc INTEGER NOT NULL
);
CREATE TABLE entries (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, digest BLOB NOT NULL,
    data TEXT NOT NULL, source TEXT NOT NULL, at_ns INTEGER, license TEXT NOT NULL,
    tags TEXT NOT NULL, tier TEXT NOT NULL, generation INTEGER NOT NULL
);
CREATE TABLE passages (
    entry INTEGER NOT NULL, place INTEGER NOT NULL, text TEXT NOT NULL, PRIMARY KEY (entry, place)
) WITHOUT ROWID;
CREATE TABLE rows (  -- place -1: the entry's own vector, else that of the passage at this place
    number INTEGER PRIMARY KEY AUTOINCREMENT, entry INTEGER NOT NULL, place INTEGER NOT NULL,
    vector INTEGER NOT NULL
);
CREATE INDEX rows_entry ON rows (entry);
CREATE INDEX rows_vector ON rows (vector);
CREATE TABLE classes (place INTEGER PRIMARY KEY, names TEXT NOT NULL, vector BLOB NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class FileForm:
    """A kind of file: whose header it bears, its tables, and what to do where it is damaged."""

    what: str
    application: int
    version: int
    tables: str
    rebuild: str


INDEX = FileForm("an index", APPLICATION, SCHEMA, _TABLES, REBUILD)


def create_database(path: Path | None, form: FileForm = INDEX) -> sqlite3.Connection:
    """A connection that writes, to a file that is made where it is missing; None: in memory.

    Raises OutputError where it cannot be written, AssetError for a file that is no index or of a
    later version.
    """
    with faults(path, form=form):
        db = sqlite3.connect(path or ":memory:", timeout=BUSY_S, isolation_level=None)
        try:
            _configure(db)
            with transaction(db):
                if _pragma(db, "user_version") == 0 and _tables(db) == 0:
                    _create(db, form)
            check_version(db, path, form)
        except BaseException:
            db.close()
            raise
    return db


@contextmanager
def reading(path: Path, form: FileForm = INDEX) -> Iterator[sqlite3.Connection]:
    """A connection that sees one generation, whatever is written meanwhile; raises AssetError."""
    if not path.is_file():
        raise AssetError(f"expected {form.what} in {path.parent}, found none; {form.rebuild}")
    with faults(path, writes=False, form=form), closing(_reader(path)) as db:
        check_version(db, path, form)
        db.execute("BEGIN")
        yield db


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All of the block is written, or nothing."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # SQLite itself rolls back on a full disk
            db.execute("ROLLBACK")
        raise


@contextmanager
def faults(path: Path | None, writes: bool = True, form: FileForm = INDEX) -> Iterator[None]:
    """SQLite's errors as ours: OutputError for what cannot be written, else AssetError."""
    place = path or Path(":memory:")
    try:
        yield
    except FovealError:
        raise
    except sqlite3.OperationalError as error:
        name = str(getattr(error, "sqlite_errorname", ""))
        if writes and name.startswith(_UNWRITTEN):
            raise output_error(place, error) from error
        raise AssetError(
            f"expected {form.what} in {place}, got: {error}; {form.rebuild}"
        ) from error
    except sqlite3.Error as error:
        raise AssetError(
            f"expected {form.what} in {place}, got: {error}; {form.rebuild}"
        ) from error


def check_version(db: sqlite3.Connection, path: Path | None, form: FileForm = INDEX) -> None:
    """Raises AssetError for a file of something else or of a later version."""
    owner, version = _pragma(db, "application_id"), _pragma(db, "user_version")
    if owner != form.application:
        raise AssetError(
            f"expected {form.what} in {path}, got a SQLite file of something else; "
            "choose another folder"
        )
    if version > form.version:
        raise AssetError(
            f"expected {form.what} of version {form.version} or earlier in {path}, got {version}; "
            "use the newer foveal that wrote it, or choose another folder"
        )


def settings(db: sqlite3.Connection) -> dict[str, str]:
    """What is known of the index as a whole."""
    return dict(db.execute("SELECT name, value FROM settings"))


def set_settings(db: sqlite3.Connection, **values: object) -> None:
    """Inside a transaction."""
    rows = [(name, str(value)) for name, value in values.items()]
    db.executemany("INSERT OR REPLACE INTO settings VALUES (?, ?)", rows)


def generation(db: sqlite3.Connection) -> int:
    """How many changes were acknowledged; 0 where a first build has not ended."""
    return int(settings(db).get("generation", 0))


def _configure(db: sqlite3.Connection) -> None:
    for setting in (
        "auto_vacuum = INCREMENTAL",  # only before the first table
        "journal_mode = WAL",
        "synchronous = FULL",
        "secure_delete = ON",
        "cache_size = -65536",
    ):
        db.execute(f"PRAGMA {setting}").fetchall()


def _create(db: sqlite3.Connection, form: FileForm) -> None:
    for statement in form.tables.split(";\n"):
        if statement.strip():
            db.execute(statement)
    set_settings(db, index=token_hex(8), generation=0)
    db.execute(f"PRAGMA application_id = {form.application}")
    db.execute(f"PRAGMA user_version = {form.version}")


def _reader(path: Path) -> sqlite3.Connection:
    """On a medium that cannot be written a file that was closed whole is read as it is."""
    uri = path.resolve().as_uri()
    if not os.access(path.parent, os.W_OK):
        log = path.with_name(f"{path.name}-wal")
        if log.exists() and log.stat().st_size:
            raise AssetError(
                f"expected an index that was closed in {path.parent}, got one with a log that "
                "cannot be applied there; copy the folder to where it can be written"
            )
        return sqlite3.connect(f"{uri}?mode=ro&immutable=1", uri=True, isolation_level=None)
    return sqlite3.connect(f"{uri}?mode=ro", uri=True, timeout=BUSY_S, isolation_level=None)


def _pragma(db: sqlite3.Connection, name: str) -> int:
    return int(db.execute(f"PRAGMA {name}").fetchone()[0])


def _tables(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0])
