"""A memory as lines of JSON: taken out for its owner, brought in again, as often as one likes."""

import base64
import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from retrieval.memory.disk.schema import reading
from retrieval.memory.disk.store import Appended, MemoryRecord, MemoryStore
from retrieval.memory.events import Event, Meanings, MemorySession, Sight
from stream.errors import BadRecord, MemoryFileError

FORM = {"memory": 1}  # the first line
BATCH = 200  # events of one transaction
MAX_LINE = 4_000_000  # characters: an event with all its sights has fewer

DAMAGE = (BadRecord, ValueError, TypeError, KeyError, AttributeError, RecursionError)

EVENTS = (
    "SELECT event.number, event.id, session.id, event.start_ns, event.end_ns, event.parent, "
    "event.text, event.said, event.spoken_by, event.frame FROM event "
    "JOIN session ON session.number = event.session ORDER BY event.number"
)
SIGHTS = (
    "SELECT sight.track, name.name, sight.confidence, sight.x0, sight.y0, sight.x1, sight.y1, "
    "sight.start_ns, sight.end_ns, coalesce(sight.meaning, other.meaning), "
    "coalesce(sight.look, other.look) FROM sight JOIN name ON name.number = sight.name "
    "LEFT JOIN sight AS other ON other.number = sight.alike WHERE sight.event = ? "
    "ORDER BY sight.number"
)


def export_lines(connection: sqlite3.Connection, path: Path) -> Iterator[str]:
    """The form, then sessions, then events with their sights; raises MemoryFileError."""
    with reading(path):
        yield json.dumps(FORM)
        for row in connection.execute(
            "SELECT id, anchor_ns, zone, encoder FROM session ORDER BY number"
        ):
            yield json.dumps({"session": asdict(MemorySession(*row))})
        for number, *row in connection.execute(EVENTS):
            event = dict(zip(Event.__slots__, (*row[:-1], _text(row[-1])), strict=True))
            yield json.dumps({"event": event, "sights": read_sights(connection, number)})


def read_sights(connection: sqlite3.Connection, number: int) -> list[dict[str, Any]]:
    """Sights of one event as JSON objects, with what they share since they were folded."""
    keys = ("track", "name", "confidence", "box", "start_ns", "end_ns", "meaning", "look")
    return [
        dict(zip(keys, (*row[:3], row[3:7], row[7], row[8], *map(_text, row[9:])), strict=True))
        for row in connection.execute(SIGHTS, (number,))
    ]


def import_lines(store: MemoryStore, lines: TextIO) -> Appended:
    """Bring lines in; an event whose id is known stays as it is, so twice is as good as once.

    A line that is damaged is refused and counted by its cause, and the rest go in. Raises
    MemoryFileError for what is no export or of a newer form.
    """
    _check_form(lines.readline(MAX_LINE))
    batch, refused = list[MemoryRecord](), Counter[str]()
    events = sights = 0
    while line := lines.readline(MAX_LINE):
        try:
            record = _read_line(store, line)
        except DAMAGE as error:
            refused[_cause(error)] += 1
            continue
        batch += [] if record is None else [record]
        if len(batch) >= BATCH:
            done, batch = store.append(batch), []
            events, sights = events + done.events, sights + done.sights
            refused.update(done.refused)
    done = store.append(batch, durable=True)
    refused.update(done.refused)
    return Appended(events + done.events, sights + done.sights, dict(refused))


def _check_form(line: str) -> None:
    try:
        form = json.loads(line)
        version = form["memory"]
    except (ValueError, TypeError, KeyError) as error:
        raise MemoryFileError(
            "expected the lines that `foveal memory export` writes, got something else"
        ) from error
    if version != FORM["memory"]:
        raise MemoryFileError(
            f"expected an export of form {FORM['memory']}, got {version}; install a newer foveal"
        )


def _cause(error: Exception) -> str:
    if isinstance(error, BadRecord):
        return str(error)
    return f"a line that is no event: {type(error).__name__}"


def _read_line(store: MemoryStore, line: str) -> MemoryRecord | None:
    row = json.loads(line)
    if "session" in row:
        store.begin(MemorySession(**row["session"]))
        return None
    event = Event(**row["event"] | {"frame": _vector(_bytes(row["event"]["frame"]))})
    sights = [
        Sight(
            event=event.id,
            **sight
            | {
                "box": _box(sight["box"]),
                "meaning": _vector(_bytes(sight["meaning"])),
                "look": _bytes(sight["look"]),
            },
        )
        for sight in row["sights"]
    ]
    return MemoryRecord(event, sights)


def _box(edges: list[int]) -> tuple[int, int, int, int]:
    x0, y0, x1, y1 = (int(edge) for edge in edges)
    return x0, y0, x1, y1


def _text(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text, validate=True)


def _vector(data: bytes | None) -> Meanings | None:
    return None if data is None else np.frombuffer(data, np.int8)
