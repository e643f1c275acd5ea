"""The folder of an index: what may lie in it, whether an index is there, and its one writer."""

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from retrieval.store.caches.derived import FOLDER
from retrieval.store.lock import LOCK, OWNER, writer_lock
from retrieval.store.migration import FILES, MANIFEST, migrate
from retrieval.store.schema import FILE, create_database, faults, generation, reading
from stream.errors import AssetError, OutputError
from stream.writing import writing

LOGS = ("", "-wal", "-shm", "-journal")  # that SQLite writes beside a file
OWN = {FOLDER, OWNER, *(f"{name}{end}" for name in (FILE, LOCK) for end in LOGS)}
OLDER = {MANIFEST, *FILES}
ALLOWED = {*OWN, *OLDER, ".DS_Store"}


def has_index(folder: Path) -> bool:
    """Whether a whole index is there, of this form or the older one."""
    if (folder / FILE).is_file():
        with suppress(AssetError), reading(folder / FILE) as db:
            return generation(db) > 0
    return (folder / MANIFEST).is_file()


def check_target(folder: Path) -> None:
    """Raises OutputError where no index can be written, or it would replace what is no index."""
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        inside = folder if folder.is_dir() else folder.parent
        tempfile.TemporaryFile(dir=inside).close()
    if not folder.exists():
        return
    others = [folder] if folder.is_file() else sorted(folder.iterdir())
    strange = [path.name for path in others if path.name not in ALLOWED]
    if strange:
        raise OutputError(
            f"expected a new folder for the index or an older index, got {folder} with "
            f"{strange[0]} in it, which is no part of one; choose another --out"
        )


@contextmanager
def index_writer(folder: Path, new: bool = False) -> Iterator[sqlite3.Connection]:
    """The folder's one writer; `new`: an index is made where there is none.

    Raises OutputError where another process writes or nothing can be written, AssetError for a
    damaged index, or where there is none.
    """
    if new:
        check_target(folder)
        with suppress(AssetError):  # an older index that cannot be read is built anew
            migrate(folder)
    else:
        migrate(folder)
        with reading(folder / FILE):
            pass
    path = folder / FILE
    with writer_lock(folder), closing(create_database(path)) as db, faults(path):
        yield db
        if generation(db):
            for name in OLDER:
                (folder / name).unlink(missing_ok=True)
