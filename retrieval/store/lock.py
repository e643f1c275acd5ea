"""One writer at a time: a lock that ends with its process, and says whose it is."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from stream.errors import OutputError
from stream.writing import writing

LOCK, OWNER = "writer.lock", "writer.pid"


@contextmanager
def writer_lock(folder: Path, patience_s: float = 0.0) -> Iterator[None]:
    """Hold the folder's lock; raises OutputError with the process that has it.

    SQLite's own file lock: it works on every platform, and the system drops it when its holder
    ends, however that ends.
    """
    with writing(folder, sqlite3.Error):
        folder.mkdir(parents=True, exist_ok=True)
        opened = sqlite3.connect(folder / LOCK, timeout=patience_s, isolation_level=None)
    with closing(opened) as lock:
        _take(lock, folder)
        try:
            yield
        finally:
            lock.execute("ROLLBACK")


def _take(lock: sqlite3.Connection, folder: Path) -> None:
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorname", "") != "SQLITE_BUSY":
            raise OutputError(f"expected to write to {folder}, got: {error}") from error
        raise OutputError(
            f"expected to be the one writer of {folder}, got process {_owner(folder)} that writes "
            "it; wait until it ends"
        ) from error
    with writing(folder):
        (folder / OWNER).write_text(f"{os.getpid()}\n", encoding="utf-8")


def _owner(folder: Path) -> str:
    try:
        return (folder / OWNER).read_text(encoding="utf-8").strip() or "?"
    except OSError:
        return "?"
