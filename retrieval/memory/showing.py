"""A moment as evidence: when, what, beside what, where, and the box of the thing that matched."""

import sqlite3
from dataclasses import replace

import numpy as np

from retrieval.memory.disk.records import read_events, read_named
from retrieval.memory.events import Floats
from retrieval.memory.moments import Moments
from retrieval.memory.places import NEAR, whereabouts
from retrieval.memory.telling import RecalledMoment, Seen, tell
from stream.events import Evidence

SOURCE = "memory"
MOMENT = "moment"  # the title of one without a thing


class MomentEvidence:
    """Reads events of a file and tells of them; its owner locks."""

    def __init__(self, connection: sqlite3.Connection, moments: Moments) -> None:
        self._connection, self._moments = connection, moments

    def evidence(
        self, row: int, step: int, scores: Floats | None, near: Floats | None, now_ns: int
    ) -> Evidence:
        """Of one event, with the thing that is nearest; `step`: just before (-1) or after (1).

        `scores`: [T] of events. `near`: [S] how near each sight is.
        """
        moment, things = self._moment(row), self._things(row)
        thing = None
        if things and near is not None and not step:
            nearest = max(things, key=near.__getitem__)
            thing = things[nearest] if np.isfinite(near[nearest]) else None
        moment = replace(moment, things=tuple(things.values()))
        text = tell(moment, thing, now_ns, step)
        score = 0.0 if scores is None else float(np.nan_to_num(scores[row], neginf=0.0))
        title = thing.name if thing is not None and thing.name else MOMENT
        box = None if thing is None else thing.box
        return Evidence(moment.id, title, text, score, SOURCE, box, tier="own")

    def placed(self, row: int, evidence: Evidence) -> Evidence:
        """With what else says where the thing was; as it is where nothing does."""
        if evidence.region is None or evidence.title == MOMENT:
            return evidence
        place = self._place(row, evidence.title, evidence.text)
        return replace(evidence, text=f"{evidence.text}; {place}") if place else evidence

    def _place(self, row: int, name: str, said: str) -> str:
        """What else says where a thing was: words, what holds it, a room that is spoken of."""
        moments = self._moments
        at = int(moments.place[row])
        near = moments.order[max(0, at - NEAR) : at + NEAR + 1]
        span = (int(moments.events.starts[near].min()), int(moments.events.ends[near].max()))
        events = read_events(self._connection, *span)
        found = whereabouts(name, events, read_named(self._connection, *span))
        if found is None or self.row(found.event.id) != row:
            return ""
        parts = (
            [found.told]
            if found.told
            else [f"by the {one}" for one in found.around[:1] if one not in said]
        )
        if found.room and not any(found.room in part for part in parts):
            parts.append(f"around the {found.room}")
        return ", ".join(parts)

    def _moment(self, row: int) -> RecalledMoment:
        number = int(self._moments.events.numbers[row])
        found = self._connection.execute(
            "SELECT event.id, session.anchor_ns + start_ns, session.anchor_ns + end_ns, zone, "
            "text, said, spoken_by FROM event JOIN session ON session.number = event.session "
            "WHERE event.number = ?",
            (number,),
        ).fetchone()
        return RecalledMoment(*found)

    def _things(self, row: int) -> dict[int, Seen]:
        """Sights of an event, by their row among all sights."""
        sights = self._moments.sights
        rows = self._connection.execute(
            "SELECT sight.number, name.name, x0, y0, x1, y1, confidence FROM sight "
            "JOIN name ON name.number = sight.name WHERE event = ? ORDER BY sight.number",
            (int(self._moments.events.numbers[row]),),
        )
        return {
            int(np.searchsorted(sights.numbers, number)): Seen(name, (x0, y0, x1, y1), confidence)
            for number, name, x0, y0, x1, y1, confidence in rows
        }

    def row(self, event: str) -> int:
        """The place among all events of one that is known by its id."""
        found = self._connection.execute("SELECT number FROM event WHERE id = ?", (event,))
        return int(np.searchsorted(self._moments.events.numbers, found.fetchone()[0]))
