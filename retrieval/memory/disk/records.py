"""Events and sights out of the file again, as they were handed over, without their vectors."""

import sqlite3
from collections.abc import Iterator

from retrieval.memory.events import Event, Sight


def read_events(
    connection: sqlite3.Connection, from_ns: int | None = None, to_ns: int | None = None
) -> list[Event]:
    """Events that lie at least partly in a span of Unix time, in the order of what happened."""
    rows = connection.execute(
        "SELECT event.id, session.id, start_ns, end_ns, parent, text, said, spoken_by FROM event "
        "JOIN session ON session.number = event.session "
        "WHERE anchor_ns + end_ns >= coalesce(?, -1) AND anchor_ns + start_ns < coalesce(?, ?) "
        "ORDER BY session.number, start_ns, event.number",
        (from_ns, to_ns, 2**62),
    )
    return [Event(*row) for row in rows]


def read_named(
    connection: sqlite3.Connection, from_ns: int | None = None, to_ns: int | None = None
) -> Iterator[Sight]:
    """Sights that have a name, of these events."""
    rows = connection.execute(
        "SELECT event.id, track, name.name, confidence, sight.start_ns, sight.end_ns, "
        "x0, y0, x1, y1 FROM sight JOIN name ON name.number = sight.name "
        "JOIN event ON event.number = sight.event WHERE name.name != '' AND sight.event IN "
        "(SELECT event.number FROM event JOIN session ON session.number = event.session "
        "WHERE anchor_ns + end_ns >= coalesce(?, -1) AND anchor_ns + start_ns < coalesce(?, ?)) "
        "ORDER BY sight.number",
        (from_ns, to_ns, 2**62),
    )
    for event, track, name, confidence, start_ns, end_ns, *box in rows:
        x0, y0, x1, y1 = box
        yield Sight(event, track, name, confidence, (x0, y0, x1, y1), start_ns, end_ns)
