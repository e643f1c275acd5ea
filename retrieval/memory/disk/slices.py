"""Parts of a memory as its nouns: the events around some of them, with their sights."""

import sqlite3
from collections.abc import Sequence

from retrieval.memory.events import Event, Sight

NEAR = 6  # events before and after each, utterances counted


def read_around(
    connection: sqlite3.Connection, ids: Sequence[str], near: int = NEAR
) -> tuple[list[Event], list[Sight]]:
    """Events of those ids and some around each, in order of time, and all sights in them.

    Vectors are left out. The caller wraps it in `reading`.
    """
    marks = ",".join("?" * len(ids))
    rows = connection.execute(
        "SELECT DISTINCT event.number, event.id, session.id, event.start_ns, event.end_ns, "  # noqa: S608 - question marks
        "event.parent, event.text, event.said, event.spoken_by FROM event "
        "JOIN session ON session.number = event.session "
        f"JOIN event AS hit ON hit.id IN ({marks}) AND hit.session = event.session "
        "AND abs(hit.number - event.number) <= ? "
        "ORDER BY session.number, event.start_ns, event.number",
        (*ids, near),
    ).fetchall()
    events = [Event(*row[1:]) for row in rows]
    sights = list[Sight]()
    for number, name, *_ in rows:
        for track, called, confidence, x0, y0, x1, y1, start_ns, end_ns in connection.execute(
            "SELECT track, name.name, confidence, x0, y0, x1, y1, start_ns, end_ns FROM sight "
            "JOIN name ON name.number = sight.name WHERE event = ? ORDER BY sight.number",
            (number,),
        ):
            box = (x0, y0, x1, y1)
            sights.append(Sight(name, track, called, confidence, box, start_ns, end_ns))
    return events, sights


def read_wall(connection: sqlite3.Connection) -> dict[str, tuple[int, str]]:
    """Anchor (Unix ns) and zone of each session, by its id."""
    rows = connection.execute("SELECT id, anchor_ns, zone FROM session")
    return {name: (anchor_ns, zone) for name, anchor_ns, zone in rows}
