"""What a memory holds, in numbers, and the events of a span, newest first."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrieval.memory.disk.exchange import read_sights
from retrieval.memory.disk.schema import reading
from stream.clock import NS_PER_S

HOUR_NS = 3600 * NS_PER_S


@dataclass(frozen=True, slots=True)
class MemoryStats:
    """Counts and sizes; bytes are what the file and its log take on the disk."""

    sessions: int
    events: int
    sights: int
    folded: int  # sights that share another's vectors
    names: int
    hours: float  # from each session's first event to its last
    bytes: int
    words: int  # bytes of what was read and said, names included
    oldest_ns: int | None  # Unix time
    newest_ns: int | None


def read_stats(connection: sqlite3.Connection, path: Path) -> MemoryStats:
    """Raises MemoryFileError."""
    with reading(path):
        sessions, events, sights, folded, names = (
            connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608 - ours
            for table in ("session", "event", "sight", "sight WHERE alike IS NOT NULL", "name")
        )
        words = connection.execute(
            "SELECT coalesce(sum(length(CAST(text || said || spoken_by AS BLOB))), 0) "
            "+ (SELECT coalesce(sum(length(CAST(name AS BLOB))), 0) FROM name) FROM event"
        ).fetchone()[0]
        spans = connection.execute(
            "SELECT min(anchor_ns + start_ns), max(anchor_ns + end_ns) FROM event "
            "JOIN session ON session.number = event.session GROUP BY session.number"
        ).fetchall()
    log = path.with_name(path.name + "-wal")
    size = path.stat().st_size + (log.stat().st_size if log.is_file() else 0)
    return MemoryStats(
        sessions,
        events,
        sights,
        folded,
        names,
        round(sum(end - start for start, end in spans) / HOUR_NS, 3),
        size,
        words,
        min((start for start, _ in spans), default=None),
        max((end for _, end in spans), default=None),
    )


def newest_events(
    connection: sqlite3.Connection, path: Path, count: int
) -> Iterator[dict[str, Any]]:
    """The newest events as JSON objects without vectors; raises MemoryFileError."""
    keys = ("id", "session", "start_ns", "end_ns", "zone", "parent", "text", "said", "spoken_by")
    with reading(path):
        rows = connection.execute(
            "SELECT event.number, event.id, session.id, anchor_ns + start_ns, anchor_ns + end_ns, "
            "zone, parent, text, said, spoken_by FROM event "
            "JOIN session ON session.number = event.session "
            "ORDER BY session.number DESC, start_ns DESC, event.number DESC LIMIT ?",
            (count,),
        ).fetchall()
        for number, *row in rows:
            sights = [
                {key: sight[key] for key in ("track", "name", "confidence", "box")}
                for sight in read_sights(connection, number)
            ]
            yield {**dict(zip(keys, row, strict=True)), "sights": sights}
