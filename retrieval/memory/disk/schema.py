"""The file of a memory: its tables, how it is opened, and what is refused.

One SQLite file a wearer in WAL mode: a process that is killed loses nothing committed. Words are
found with FTS5, whose index holds no second copy of the text. `secure_delete` overwrites what is
deleted; what else `forget` needs for no byte to stay is in retrieval/memory/disk/forgetting.py.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from stream.errors import MemoryFileError

VERSION = 1
APPLICATION_ID = 0x466F764D  # "FovM" in the file's header
HEADER = b"SQLite format 3\0"
BUSY_S = 10.0  # that a reader or the writer waits for the other's commit

SCHEMA = """
CREATE TABLE setting (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO setting VALUES ('generation', 0), ('writer', 0), ('unwiped', 0);
CREATE TABLE session (
    number INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order of sessions, whatever their clocks said
    id TEXT NOT NULL UNIQUE, anchor_ns INTEGER NOT NULL, zone TEXT NOT NULL, encoder TEXT NOT NULL
);
CREATE TABLE event (
    number INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used again, so that caches can go on
    id TEXT NOT NULL UNIQUE, session INTEGER NOT NULL REFERENCES session,
    start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL, parent TEXT,
    text TEXT NOT NULL, said TEXT NOT NULL, spoken_by TEXT NOT NULL, frame BLOB
);
CREATE INDEX event_parent ON event (parent) WHERE parent IS NOT NULL;
CREATE TABLE name (number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE);
CREATE TABLE sight (
    number INTEGER PRIMARY KEY AUTOINCREMENT, event INTEGER NOT NULL REFERENCES event,
    track INTEGER NOT NULL, name INTEGER NOT NULL REFERENCES name, confidence REAL NOT NULL,
    x0 INTEGER NOT NULL, y0 INTEGER NOT NULL, x1 INTEGER NOT NULL, y1 INTEGER NOT NULL,
    start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL,
    alike INTEGER,  -- the sight whose vectors stand for this one's too, once folded
    meaning BLOB, look BLOB
);
CREATE INDEX sight_event ON sight (event);
CREATE INDEX sight_alike ON sight (alike) WHERE alike IS NOT NULL;
CREATE VIRTUAL TABLE words USING fts5 (
    text, said, content='event', content_rowid='number', tokenize='porter unicode61'
);
CREATE TRIGGER event_added AFTER INSERT ON event BEGIN
    INSERT INTO words (rowid, text, said) VALUES (new.number, new.text, new.said);
END;
"""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Raises MemoryFileError that names the file for an error of SQLite in the block."""
    try:
        yield
    except sqlite3.Error as error:
        raise MemoryFileError(
            f"expected a memory in {path} that can be used, got: {error}; "
            "import its last export into a new file, or free space where the disk is full"
        ) from error


def open_to_write(path: Path) -> sqlite3.Connection:
    """A connection that made the file where there was none; any thread may use it, one at a time.

    Raises MemoryFileError for what is no memory, damaged, of a newer version or not writable.
    """
    _check_header(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # for nobody else's eyes
    except OSError as error:
        raise MemoryFileError(
            f"expected to write a memory to {path}, got: {error.strerror}; choose another file"
        ) from error
    with reading(path):
        connection = _connect(f"{_uri(path)}?mode=rw")
        try:
            _prepare(connection, path)
        except BaseException:
            connection.close()
            raise
        return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(
            f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA application_id = {APPLICATION_ID};"
            f"PRAGMA user_version = {VERSION}; COMMIT;"
        )
    _check_version(connection, path)
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise sqlite3.DatabaseError(found)
    for pragma in ("journal_mode = WAL", "secure_delete = ON", "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {pragma}")


def open_to_read(path: Path) -> sqlite3.Connection:
    """A connection that changes nothing, beside a writer or on a medium that cannot be written.

    Raises MemoryFileError for a file that is absent, foreign, damaged or of a newer version.
    """
    if not path.is_file():
        raise MemoryFileError(f"expected a memory in {path}, found no such file")
    _check_header(path)
    with reading(path):
        try:
            return _checked(f"{_uri(path)}?mode=ro", path)
        except sqlite3.OperationalError:
            # On such a medium no index of the WAL can be made. Without a WAL none is needed.
            wal = path.with_name(path.name + "-wal")
            if wal.is_file() and wal.stat().st_size:
                raise
            return _checked(f"{_uri(path)}?mode=ro&immutable=1", path)


def _checked(uri: str, path: Path) -> sqlite3.Connection:
    connection = _connect(uri)
    try:
        _check_version(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _uri(path: Path) -> str:
    return f"file:{quote(str(path.absolute()))}"


def _connect(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(
        uri, uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False
    )


def _check_header(path: Path) -> None:
    if not path.exists():
        return
    if not path.is_file():
        raise MemoryFileError(f"expected a file for a memory, got {path}, which is none")
    with path.open("rb") as file:
        head = file.read(len(HEADER))
    if head and head != HEADER:
        raise MemoryFileError(
            f"expected a memory in {path}, got another kind of file; choose another"
        )


def _check_version(connection: sqlite3.Connection, path: Path) -> None:
    kind = connection.execute("PRAGMA application_id").fetchone()[0]
    if kind != APPLICATION_ID:
        raise MemoryFileError(
            f"expected a memory in {path}, got another program's SQLite file; choose another"
        )
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise MemoryFileError(
            f"expected a memory of version {VERSION} or older in {path}, got version {version}; "
            "it was written by a newer foveal, install that"
        )
