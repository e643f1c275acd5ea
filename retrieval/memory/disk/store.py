"""The one writer of a memory's file: sessions, events and sights go in, each transaction whole.

What was answered, agreed to or forgotten is synced to the disk before the call returns. What was
seen may be lost in a power cut, back to the last checkpoint, and never when the process is killed.
"""

import itertools
import os
import re
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

from retrieval.memory.disk.schema import open_to_read, open_to_write, reading
from retrieval.memory.events import Event, MemorySession, Sight
from retrieval.sources.sentences import clean, search_words
from stream.errors import BadRecord, MemoryFileError

MAX_SIGHTS = 256  # of one event; the rest are counted
# Of people nothing is kept that tells one from another. General English, heads of names.
PEOPLE = frozenset(
    re.findall(
        r"\w+",
        "person people human man men woman women boy girl child children kid baby infant toddler "
        "teenager adult lady gentleman guy face head crowd audience player passenger pedestrian "
        "stranger friend neighbour neighbor mother father brother sister grandmother grandfather "
        "husband wife son daughter aunt uncle cousin colleague doctor nurse teacher student "
        "waiter waitress chef cook driver rider cyclist diver bride groom bridegroom guest "
        "customer",
    )
)


@dataclass(frozen=True, slots=True)
class MemoryRecord:
    """An event with what was seen in it."""

    event: Event
    sights: Iterable[Sight] = ()


@dataclass(frozen=True, slots=True)
class Appended:
    """What came of records: how many events and sights went in, and what was refused, by cause."""

    events: int = 0
    sights: int = 0
    refused: dict[str, int] = field(default_factory=dict)


class MemoryStore:
    """A memory's file, open to write. One thread uses it at a time."""

    def __init__(self, path: Path) -> None:
        """Open or make the file; raises MemoryFileError, for another writer with its process."""
        self.path = path
        self.begun = set[str]()  # sessions that this writer knows: their rows stay
        self._lock = _locked(path)
        try:
            self.connection = open_to_write(path)
            with self.transaction() as connection:
                connection.execute(
                    "UPDATE setting SET value = ? WHERE name = 'writer'", (os.getpid(),)
                )
                unwiped = connection.execute("SELECT value FROM setting WHERE name = 'unwiped'")
                unfinished = bool(unwiped.fetchone()[0])
            if unfinished:  # whoever forgot last was killed before its end
                self.wipe()
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Put what is in the WAL into the file, and let others write it; twice is fine."""
        if self._lock.is_locked:
            self.connection.close()
            self._lock.release()

    @contextmanager
    def transaction(self, durable: bool = False) -> Iterator[sqlite3.Connection]:
        """All of the block or nothing; `durable` waits for the disk. Raises MemoryFileError."""
        with reading(self.path):
            self.connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise

    def begin(self, session: MemorySession) -> None:
        """Know a session before its events; one that is known already keeps its anchor."""
        self.begun.add(session.id)
        with self.transaction(durable=True) as connection:
            connection.execute(
                "INSERT OR IGNORE INTO session (id, anchor_ns, zone, encoder) VALUES (?, ?, ?, ?)",
                (session.id, session.anchor_ns, session.zone, session.encoder),
            )

    def append(self, records: Sequence[MemoryRecord], durable: bool = False) -> Appended:
        """All records in one transaction, in order; a bad one is refused and the rest go in.

        An event whose id is known is refused: the first one stays. Of people the look and the
        meaning are left out, and of what has no name the look. Raises MemoryFileError, and then
        none of them is in.
        """
        events = sights = 0
        refused: Counter[str] = Counter()
        with self.transaction(durable) as connection:
            for record in records:
                try:
                    number = _insert_event(connection, record.event)
                except BadRecord as error:
                    refused[str(error)] += 1
                    continue
                events += 1
                seen = iter(record.sights)
                for sight in itertools.islice(seen, MAX_SIGHTS):
                    _insert_sight(connection, number, sight)
                    sights += 1
                refused["more sights than an event may have"] += sum(1 for _ in seen)
        return Appended(events, sights, {cause: n for cause, n in refused.items() if n})

    def changed(self) -> None:
        """Within a transaction: tell caches that rows were altered or are gone."""
        self.connection.execute("UPDATE setting SET value = value + 1 WHERE name = 'generation'")

    def wipe(self) -> None:
        """Leave no byte of what was deleted in the file or its log.

        Raises MemoryFileError where a reader holds the log; the next writer tries again.
        """
        with reading(self.path):
            self.connection.execute("PRAGMA synchronous = FULL")
            self.connection.execute("VACUUM")
            busy = self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy:
            raise MemoryFileError(
                f"expected to cut the log of {self.path}, got a program that reads it: what was to "
                "be forgotten is no longer found, but its bytes are still there; end that program "
                "and forget again"
            )
        with self.transaction(durable=True) as connection:
            connection.execute("UPDATE setting SET value = 0 WHERE name = 'unwiped'")


def is_person(name: str) -> bool:
    """Whether a word of a name is one for people."""
    return any(word in PEOPLE for word in search_words(name))


def _locked(path: Path) -> FileLock:
    # The thread that closes a store need not be the one that opened it.
    lock = FileLock(path.with_name(path.name + ".lock"), timeout=0, mode=0o600, thread_local=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise MemoryFileError(
            f"expected to be the only writer of {path}, got {_writer(path)} that writes it; "
            "end that one, or choose another file"
        ) from error
    except OSError as error:
        raise MemoryFileError(
            f"expected to write a memory to {path}, got: {error.strerror}; choose another file"
        ) from error
    return lock


def _writer(path: Path) -> str:
    try:
        with reading(path), closing(open_to_read(path)) as connection:
            rows = connection.execute("SELECT value FROM setting WHERE name = 'writer'").fetchall()
        return f"process {rows[0][0]}"
    except MemoryFileError:  # it has only begun to make the file
        return "another process"


def _insert_event(connection: sqlite3.Connection, event: Event) -> int:
    session = connection.execute(
        "SELECT number FROM session WHERE id = ?", (event.session,)
    ).fetchone()
    if session is None:
        raise BadRecord("expected an event of a session that was begun, got another")
    done = connection.execute(
        "INSERT OR IGNORE INTO event (id, session, start_ns, end_ns, parent, text, said, "
        "spoken_by, frame) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            event.id,
            session[0],
            event.start_ns,
            event.end_ns,
            event.parent,
            clean(event.text),
            clean(event.said),
            clean(event.spoken_by),
            None if event.frame is None else event.frame.tobytes(),
        ),
    )
    if done.rowcount != 1 or done.lastrowid is None:
        raise BadRecord("expected an event with a new id, got one that is known")
    return done.lastrowid


def _insert_sight(connection: sqlite3.Connection, event: int, sight: Sight) -> None:
    name, person = clean(sight.name), is_person(sight.name)
    connection.execute("INSERT OR IGNORE INTO name (name) VALUES (?)", (name,))
    meaning = None if person or sight.meaning is None else sight.meaning.tobytes()
    look = sight.look if name and not person else None
    connection.execute(
        "INSERT INTO sight (event, track, name, confidence, x0, y0, x1, y1, start_ns, end_ns, "
        "meaning, look) VALUES (?, ?, (SELECT number FROM name WHERE name = ?), "
        "?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            event,
            sight.track,
            name,
            sight.confidence,
            *sight.box,
            sight.start_ns,
            sight.end_ns,
            meaning,
            look,
        ),
    )
