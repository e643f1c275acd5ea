"""What a recall goes through, in RAM: times of all events, names, meanings and looks of all sights.

Derived from the file and never the truth: what was added is read on the next look, and all of it is
read anew once something was forgotten or folded. Meanings stay the int8 of the file in FAISS, 384
bytes each, and are compared exactly; looks are compared bit by bit.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from retrieval.encoders.appearance import likeness
from retrieval.memory.events import LOOK_BYTES, SCALE, Floats, quantise

Numbers = npt.NDArray[np.int64]
CHUNK = 4096  # rows read at a time
NEAREST = 1024  # vectors that have a cosine; the others are too far away to matter


class MeaningIndex:
    """[N, D] int8 vectors in insertion order; D is that of the first one."""

    def __init__(self) -> None:
        self._index: Any = None

    @property
    def size(self) -> int:
        """Vectors held."""
        return 0 if self._index is None else int(self._index.ntotal)

    def add(self, vectors: Sequence[bytes]) -> npt.NDArray[np.bool_]:
        """[n]: which were taken; those of another length than the first ever are not."""
        if not vectors:
            return np.zeros(0, np.bool_)
        if self._index is None:
            self._index = faiss.IndexScalarQuantizer(
                len(vectors[0]),
                faiss.ScalarQuantizer.QT_8bit_direct_signed,
                faiss.METRIC_INNER_PRODUCT,
            )
        taken = np.array([len(vector) == self._index.d for vector in vectors])
        rows = np.frombuffer(b"".join(v for v, t in zip(vectors, taken, strict=True) if t), np.int8)
        self._index.add(rows.reshape(-1, self._index.d).astype(np.float32))
        return taken

    def row(self, number: int) -> Floats:
        """[D] float32 of one vector."""
        return np.asarray(self._index.reconstruct(number) / SCALE, np.float32)

    def cosines(self, vector: Floats, allowed: npt.NDArray[np.bool_] | None = None) -> Floats:
        """Unit [D] -> [N] float32, -inf for what is not among the NEAREST or not allowed [N].

        A vector of another length is near to nothing.
        """
        found = np.full(self.size, -np.inf, np.float32)
        if not self.size or vector.size != self._index.d:
            return found
        # The index makes bytes of the query too: unscaled, a unit vector would be zeros.
        query = quantise(vector.reshape(1, -1)).astype(np.float32)
        options = None
        if allowed is not None:
            bits = np.packbits(allowed, bitorder="little")
            # Its Python wrapper takes an array and a keyword, which its stubs do not know.
            selector = faiss.IDSelectorBitmap(bits)  # type: ignore[call-arg,arg-type]
            options = faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]
        scores, rows = self._index.search(query, min(NEAREST, self.size), params=options)
        near = rows[0] >= 0
        found[rows[0][near]] = scores[0][near] / SCALE**2
        return found


def space_of(encoder: str) -> str:
    """The space of a text encoder, for pictures that ConSE puts into it, too."""
    parts = encoder.split("+")
    return parts[1] if parts[0] == "conse" and len(parts) > 1 else encoder


@dataclass(slots=True)
class _Events:
    numbers: Numbers = field(default_factory=lambda: np.zeros(0, np.int64))  # ascending
    sessions: Numbers = field(default_factory=lambda: np.zeros(0, np.int64))
    starts: Numbers = field(default_factory=lambda: np.zeros(0, np.int64))  # Unix ns
    ends: Numbers = field(default_factory=lambda: np.zeros(0, np.int64))
    framed: Numbers = field(default_factory=lambda: np.zeros(0, np.int64))  # rows with a frame


@dataclass(slots=True)
class _Sights:
    numbers: Numbers = field(default_factory=lambda: np.zeros(0, np.int64))  # ascending
    rows: Numbers = field(default_factory=lambda: np.zeros(0, np.int64))  # of their events
    names: Numbers = field(default_factory=lambda: np.zeros(0, np.int64))
    alike: Numbers = field(default_factory=lambda: np.zeros(0, np.int64))  # sight number or 0
    meant: Numbers = field(default_factory=lambda: np.zeros(0, np.int64))  # vector row or -1
    looked: Numbers = field(default_factory=lambda: np.zeros(0, np.int64))  # look row or -1


class Moments:
    """All of one file, for one encoder of meanings. Not thread-safe: its owner locks."""

    def __init__(self, connection: sqlite3.Connection, encoder: str) -> None:
        """`encoder`: meanings of other encoders are left out."""
        self._connection, self._space = connection, space_of(encoder)
        self.generation = -1
        self._compared = set[int]()  # numbers of the sessions whose meanings are in that space
        self._clear()

    def _clear(self) -> None:
        self.events, self.sights = _Events(), _Sights()
        self.names: dict[int, str] = {}
        self.frames, self.meanings = MeaningIndex(), MeaningIndex()
        self._looks = np.zeros((0, LOOK_BYTES), np.uint8)
        self.order = self.place = np.zeros(0, np.int64)

    def refresh(self) -> None:
        """Read what is new; the caller holds a read transaction, so that all of it fits."""
        found = self._connection.execute("SELECT value FROM setting WHERE name = 'generation'")
        generation = int(found.fetchone()[0])
        if generation != self.generation:
            self._clear()
            self.generation = generation
        self._compared = {
            number
            for number, encoder in self._connection.execute("SELECT number, encoder FROM session")
            if self._space and space_of(encoder) == self._space
        }
        if self._read_events():
            # Sessions in the order they were begun, each in its own time.
            events = self.events
            self.order = np.lexsort((events.numbers, events.starts, events.sessions))
            self.place = np.argsort(self.order)
            self._read_sights()

    def _read_events(self) -> bool:
        events = self.events
        last = int(events.numbers[-1]) if events.numbers.size else 0
        cursor = self._connection.execute(
            "SELECT event.number, session.number, session.anchor_ns + event.start_ns, "
            "session.anchor_ns + event.end_ns, event.frame "
            "FROM event JOIN session ON session.number = event.session "
            "WHERE event.number > ? ORDER BY event.number",
            (last,),
        )
        before = events.numbers.size
        while rows := cursor.fetchmany(CHUNK):
            number, session, start, end, frame = zip(*rows, strict=True)
            first = events.numbers.size
            events.numbers = _joined(events.numbers, number)
            events.sessions = _joined(events.sessions, session)
            events.starts, events.ends = _joined(events.starts, start), _joined(events.ends, end)
            own = self._own(session, frame)
            taken = self.frames.add([frame[place] or b"" for place in own])
            events.framed = _joined(events.framed, own[taken] + first)
        return events.numbers.size > before

    def _read_sights(self) -> None:
        """Sights come with their events, in one transaction: none is new where no event is."""
        sights = self.sights
        last = int(sights.numbers[-1]) if sights.numbers.size else 0
        cursor = self._connection.execute(
            "SELECT sight.number, sight.event, sight.name, coalesce(sight.alike, 0), "
            "event.session, sight.meaning, sight.look FROM sight "
            "JOIN event ON event.number = sight.event "
            "WHERE sight.number > ? ORDER BY sight.number",
            (last,),
        )
        while rows := cursor.fetchmany(CHUNK):
            number, event, name, alike, session, meaning, look = zip(*rows, strict=True)
            sights.numbers = _joined(sights.numbers, number)
            sights.rows = _joined(sights.rows, np.searchsorted(self.events.numbers, event))
            sights.names = _joined(sights.names, name)
            sights.alike = _joined(sights.alike, alike)
            sights.meant = _joined(sights.meant, self._add_meanings(session, meaning))
            sights.looked = _joined(sights.looked, self._add_looks(look))
        self._share(sights)
        for row_number, row_name in self._connection.execute(
            "SELECT number, name FROM name WHERE number > ?", (max(self.names, default=0),)
        ):
            self.names[row_number] = row_name

    def _own(self, sessions: Sequence[int], vectors: Sequence[bytes | None]) -> Numbers:
        """Places of vectors that lie in the encoder's space."""
        pairs = enumerate(zip(sessions, vectors, strict=True))
        own = [place for place, (of, data) in pairs if data is not None and of in self._compared]
        return np.array(own, np.int64)

    def _add_meanings(self, sessions: Sequence[int], meanings: Sequence[bytes | None]) -> Numbers:
        rows = np.full(len(meanings), -1, np.int64)
        own, first = self._own(sessions, meanings), self.meanings.size
        taken = own[self.meanings.add([meanings[place] or b"" for place in own])]
        rows[taken] = first + np.arange(taken.size)
        return rows

    def _add_looks(self, looks: Sequence[bytes | None]) -> Numbers:
        rows = np.full(len(looks), -1, np.int64)
        own = [i for i, data in enumerate(looks) if data is not None]
        rows[own] = len(self._looks) + np.arange(len(own))
        data = np.frombuffer(b"".join(look for look in looks if look is not None), np.uint8)
        self._looks = np.concatenate((self._looks, data.reshape(-1, LOOK_BYTES)))
        return rows

    @staticmethod
    def _share(sights: _Sights) -> None:
        """Folded sights are as near as the one that stands for them."""
        folded = np.flatnonzero(sights.alike)
        if folded.size:
            others = np.searchsorted(sights.numbers, sights.alike[folded])
            sights.meant[folded] = sights.meant[others]
            sights.looked[folded] = sights.looked[others]

    @property
    def size(self) -> int:
        """Events held."""
        return int(self.events.numbers.size)

    def by_meaning(self, vector: Floats, allowed: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
        """Unit [D], [T] events to look at -> [T] cosines of events and [S] of sights, -inf if far.

        An event is as near as its frame or the nearest of its sights.
        """
        events = np.full(self.size, -np.inf, np.float32)
        framed, rows = self.events.framed, self.sights.rows
        whole = bool(allowed.all())
        events[framed] = self.frames.cosines(vector, None if whole else allowed[framed])
        sights = np.full(rows.size, -np.inf, np.float32)
        meant = self.sights.meant
        own = np.flatnonzero((meant >= 0) & allowed[rows])
        wanted = None
        if not whole:
            wanted = np.zeros(self.meanings.size, np.bool_)
            wanted[meant[own]] = True
        sights[own] = self.meanings.cosines(vector, wanted)[meant[own]]
        np.maximum.at(events, rows, sights)
        return events, sights

    def by_look(self, look: bytes, allowed: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
        """The same for a look: cosines estimated from equal bits."""
        events = np.full(self.size, -np.inf, np.float32)
        sights = np.full(self.sights.rows.size, -np.inf, np.float32)
        own = np.flatnonzero((self.sights.looked >= 0) & allowed[self.sights.rows])
        sights[own] = likeness(self._looks, look)[self.sights.looked[own]]
        np.maximum.at(events, self.sights.rows, sights)
        return events, sights


def _joined(old: Numbers, new: npt.ArrayLike) -> Numbers:
    return np.concatenate((old, np.asarray(new, np.int64)))
