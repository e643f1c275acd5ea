"""Forgetting: what is gone is gone from the file, its words and its log, to the last byte.

Rows are deleted in one synced transaction and the index of words is made anew. A page of SQLite can
hold copies of a row that moved, so the file is then rewritten (VACUUM) and the log cut to nothing;
where the process is killed before that, whoever writes the file next does it first.
What a file system or an SSD keeps of blocks that it gave back is out of this program's reach.
"""

import re
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from retrieval.memory.disk.store import MemoryStore
from retrieval.sources.sentences import clean, sentences
from stream.errors import QueryError


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What is no longer there."""

    events: int = 0
    sights: int = 0
    cut: int = 0  # events that stay, without the sentences that told of it


def forget_all(store: MemoryStore) -> Forgotten:
    """Everything; raises MemoryFileError as all of these do."""
    return _forget(store, "SELECT number FROM event", ())


def forget_since(store: MemoryStore, wall_ns: int) -> Forgotten:
    """What ended at or after a Unix time, whole: more is forgotten, never less."""
    return _forget(
        store,
        "SELECT event.number FROM event JOIN session ON session.number = event.session "
        "WHERE session.anchor_ns + event.end_ns >= ?",
        (wall_ns,),
    )


def forget_before(store: MemoryStore, wall_ns: int) -> Forgotten:
    """What ended before a Unix time: retention."""
    return _forget(
        store,
        "SELECT event.number FROM event JOIN session ON session.number = event.session "
        "WHERE session.anchor_ns + event.end_ns < ?",
        (wall_ns,),
    )


def forget_event(store: MemoryStore, event: str) -> Forgotten:
    """One event, and what was said in it; raises QueryError for an id that is not known."""
    found = _forget(store, "SELECT number FROM event WHERE id = ?", (event,))
    if not found.events:
        raise QueryError(f"expected the id of an event in {store.path}, got {event!r}")
    return found


def forget_name(store: MemoryStore, name: str) -> Forgotten:
    """All sights of that name, and every sentence that has it: read, said or spoken by it."""
    wanted = clean(name)
    if not wanted:
        raise QueryError("expected a name to forget, got an empty string")
    word = re.compile(rf"(?<!\w){re.escape(wanted)}(?:e?s|['’]s?)?(?!\w)", re.IGNORECASE)
    with store.transaction(durable=True) as connection:
        names = connection.execute("SELECT number, name FROM name").fetchall()
        numbers = [number for number, said in names if word.search(said)]
        marks = ",".join("?" * len(numbers))
        sights = connection.execute(
            f"SELECT number FROM sight WHERE name IN ({marks})",  # noqa: S608 - question marks
            numbers,
        ).fetchall()
        _delete_sights(connection, [number for (number,) in sights])
        cut = sum(_cut(connection, row, word) for row in _told(connection))
        _settle(store, connection)
    store.wipe()
    return Forgotten(0, len(sights), cut)


def _forget(store: MemoryStore, chosen: str, values: tuple[object, ...]) -> Forgotten:
    with store.transaction(durable=True) as connection:
        connection.execute("CREATE TEMP TABLE gone (number INTEGER PRIMARY KEY)")
        connection.execute(f"INSERT INTO gone {chosen}", values)
        connection.execute(
            "INSERT OR IGNORE INTO gone SELECT number FROM event WHERE parent IN "
            "(SELECT id FROM event WHERE number IN (SELECT number FROM gone))"
        )
        sights = connection.execute(
            "SELECT number FROM sight WHERE event IN (SELECT number FROM gone)"
        ).fetchall()
        _delete_sights(connection, [number for (number,) in sights])
        events = connection.execute(
            "DELETE FROM event WHERE number IN (SELECT number FROM gone)"
        ).rowcount
        connection.execute("DROP TABLE gone")
        if events:
            _settle(store, connection)
    if events:
        store.wipe()
    return Forgotten(events, len(sights))


def _delete_sights(connection: sqlite3.Connection, numbers: Iterable[int]) -> None:
    """What shared the vectors of a deleted sight keeps its times and loses its looks."""
    rows = [(number,) for number in numbers]
    connection.executemany("UPDATE sight SET alike = NULL WHERE alike = ?", rows)
    connection.executemany("DELETE FROM sight WHERE number = ?", rows)


def _told(connection: sqlite3.Connection) -> list[tuple[int, str, str, str]]:
    return connection.execute("SELECT number, text, said, spoken_by FROM event").fetchall()


def _cut(
    connection: sqlite3.Connection, row: tuple[int, str, str, str], word: re.Pattern[str]
) -> bool:
    """Take the sentences with a word out of an event, and its vector, which may stand for them."""
    number, *told = row
    if not any(word.search(part) for part in told):
        return False
    text, said = (
        " ".join(one for one in sentences(part) if not word.search(one)) for part in told[:2]
    )
    by = "" if word.search(told[2]) else told[2]
    connection.execute(
        "UPDATE event SET text = ?, said = ?, spoken_by = ?, frame = NULL WHERE number = ?",
        (text, said, by, number),
    )
    return True


def _settle(store: MemoryStore, connection: sqlite3.Connection) -> None:
    """Within the transaction: nothing is left that only what is gone had a use for."""
    connection.execute("DELETE FROM name WHERE number NOT IN (SELECT name FROM sight)")
    empty = connection.execute(
        "SELECT number, id FROM session WHERE number NOT IN (SELECT session FROM event)"
    ).fetchall()
    for number, name in empty:
        if name not in store.begun:
            connection.execute("DELETE FROM session WHERE number = ?", (number,))
    connection.execute("INSERT INTO words (words) VALUES ('rebuild')")
    connection.execute("UPDATE setting SET value = 1 WHERE name = 'unwiped'")
    store.changed()
