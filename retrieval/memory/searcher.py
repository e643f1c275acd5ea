"""Recall: a memory's answer to a question, as evidence with its time, its words and its box.

`MemorySearcher` is a `Searcher` for queries whose source is the memory. What a question is about is
looked for in names, in what was read and said, and by meaning and look; its times are a filter.
"Where did I leave" and "when did I last" ask for the last of what matches, not for the best match.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from retrieval.encoders.joint import Appearance, JointEncoder
from retrieval.encoders.text import TextEncoder
from retrieval.memory.asking import asked_for, asks_of_words, head_of, recall_of
from retrieval.memory.counting import merge_episodes, read_question, tally
from retrieval.memory.disk.records import read_events, read_named
from retrieval.memory.disk.schema import open_to_read, reading
from retrieval.memory.events import Event, Floats
from retrieval.memory.moments import Moments
from retrieval.memory.recall import Recall
from retrieval.memory.sequences import align, rank_evidence
from retrieval.memory.showing import MomentEvidence
from retrieval.memory.signals import (
    Rows,
    Signal,
    Wanted,
    joined,
    look_signal,
    meaning_signal,
    mixed,
    with_neighbours,
    word_signals,
)
from retrieval.memory.when import when
from retrieval.memory.words.vocabulary import MemoryNames, Vocabulary
from stream.clock import Clock
from stream.errors import QueryError
from stream.events import Evidence, Query
from stream.geometry import decode_mask


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """Events in the order of an answer, with what made them match."""

    rows: tuple[int, ...] = ()
    steps: tuple[int, ...] = ()  # -1 and 1: a neighbour of another
    scores: Floats | None = None  # [T]
    sights: Floats | None = None  # [S]: of an event the nearest is shown
    total: int = 0  # how many match


class MemorySearcher:
    """`Searcher` over one memory's file, beside its writer. Any thread may search."""

    def __init__(
        self,
        path: Path,
        clock: Clock,
        encoder: TextEncoder | None = None,
        pictures: JointEncoder | None = None,
        appearance: Appearance | None = None,
        under_way: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        """`clock`: wall time. `under_way`: ids of events that are not over, which are left out.

        Without `encoder` words alone find; pictures ask for `pictures` (in the same space) or for
        `appearance`. Raises MemoryFileError for what is no memory.
        """
        self.path, self._clock, self._under_way = path, clock, under_way
        self._encoder, self._pictures, self._appearance = encoder, pictures, appearance
        self._connection = open_to_read(path)
        of_texts = encoder or pictures
        self._moments = Moments(self._connection, of_texts.id if of_texts else "")
        self._shown = MomentEvidence(self._connection, self._moments)
        self._vocabulary, self._labels = Vocabulary(of_texts), MemoryNames()
        self._lock = threading.Lock()

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
        """Let go of the file; twice is fine."""
        with self._lock:
            self._connection.close()

    def search(self, query: Query) -> list[Evidence]:
        """At most `query.k` moments; raises QueryError for a picture that nothing here can read."""
        return self.recall(recall_of(query))

    def recall(self, recall: Recall) -> list[Evidence]:
        """The same for a question that is taken apart already; raises MemoryFileError."""
        with self._lock, reading(self.path):
            self._connection.execute("BEGIN")  # one view of the file, whatever its writer does
            try:
                return self._recall(recall)
            finally:
                self._connection.execute("COMMIT")

    def _recall(self, recall: Recall) -> list[Evidence]:
        self._moments.refresh()
        self._vocabulary.learn(self._moments.names)
        if not self._moments.size:
            return []
        now_ns = self._clock.now_ns()
        timed = self._timed(recall, now_ns)
        found = self._done(timed) or self._find(timed)
        pairs = zip(found.rows, found.steps, strict=True)
        evidence = [
            self._shown.evidence(row, step, found.scores, found.sights, now_ns)
            for row, step in pairs
        ]
        if evidence:  # the first is what is told: where that was is worth a closer look
            evidence[0] = self._shown.placed(found.rows[0], evidence[0])
        if timed.how == "count" and evidence:
            text = f"{_times(found.total)}, the last one {evidence[0].text}"
            evidence[0] = replace(evidence[0], text=text)
        return evidence

    def _done(self, recall: Recall) -> _Found | None:
        """How often, first or last an act was done, where the record tells of acts."""
        question = read_question(recall.what) if recall.how in ("count", "first", "last") else None
        if question is None or recall.by not in ("all", "words"):
            return None
        span = (recall.from_ns, recall.to_ns)
        left_out = {*recall.without, *self._under_way()}
        events = [one for one in read_events(self._connection, *span) if one.id not in left_out]
        if not any(one.text for one in events):
            return None
        done = tally(question, events, read_named(self._connection, *span))
        if not done.episodes:
            return None
        newest = recall.how != "first"
        episodes = done.episodes[::-1] if newest else done.episodes
        rows = [self._shown.row(one.events[-1 if newest else 0]) for one in episodes[: recall.k]]
        return _Found(tuple(rows), (0,) * len(rows), total=done.count)

    def _timed(self, recall: Recall, now_ns: int) -> Recall:
        """With the times in its words as its span; a landmark is recalled first."""
        zone = self._connection.execute("SELECT zone FROM session ORDER BY number DESC").fetchone()
        timed = when(recall.what, now_ns, zone[0])
        given = (recall.from_ns, recall.to_ns)
        low, high = (timed.from_ns, timed.to_ns) if given == (None, None) else given
        words = timed.words
        if timed.relation:
            rows = self._landmark(timed.landmark, recall.without)
            if not rows:
                words = f"{words} {timed.landmark}"
            elif timed.relation == "before":
                high = int(self._moments.events.starts[rows[0]])
            else:
                low = int(self._moments.events.ends[rows[0]])
        if low is not None and high is not None:
            low = min(low, high)
        # A question of nothing but times asks for what was there.
        low = 0 if low is None and high is None and not words and recall.image is None else low
        return replace(recall, what=words, from_ns=low, to_ns=high)

    def _landmark(self, words: str, without: tuple[str, ...]) -> tuple[int, ...]:
        if not asked_for(words):
            return ()
        return self._find(Recall(words, how="last", k=1, without=without)).rows

    def _allowed(self, recall: Recall) -> Rows:
        events = self._moments.events
        allowed = np.ones(events.numbers.size, np.bool_)
        if recall.from_ns is not None:
            allowed &= events.ends >= recall.from_ns
        if recall.to_ns is not None:
            allowed &= events.starts < recall.to_ns
        if recall.known_ns is not None:
            allowed &= events.ends <= recall.known_ns
        for name in {*recall.without, *self._under_way()}:
            for found in self._connection.execute("SELECT number FROM event WHERE id = ?", (name,)):
                allowed &= events.numbers != found[0]
        return allowed

    def _find(self, recall: Recall) -> _Found:
        allowed = self._allowed(recall)
        if recall.then or recall.by == "sequence":
            return self._sequence(recall, allowed)
        if recall.image is None and not asked_for(recall.what):
            return self._in_time(recall, allowed, newest=True)
        signals = self._signals(recall, allowed)
        if not signals:
            return _Found()
        if recall.how == "best":
            return self._best(recall, signals, allowed)
        # The surest signal that has a match says what is meant.
        for signal in signals.values():
            matching = signal.matches(exact=True)
            if matching.any():
                found = self._in_time(recall, matching, newest=recall.how in ("last", "count"))
                total = self._episodes(matching) if recall.how == "count" else found.total
                return replace(found, scores=signal.events, sights=signal.sights, total=total)
        return _Found()

    def _episodes(self, matching: Rows) -> int:
        """Moments that lie close together are one."""
        events = self._moments.events
        spans = [
            (Event(f"e{row}", f"s{events.sessions[row]}", start, end), start, end)
            for row in np.flatnonzero(matching)
            for start, end in [(int(events.starts[row]), int(events.ends[row]))]
        ]
        return len(merge_episodes(spans))

    def _in_time(self, recall: Recall, matching: Rows, newest: bool) -> _Found:
        rows = [int(row) for row in self._moments.order if matching[row]]
        kept = rows[::-1][: recall.k] if newest else rows[: recall.k]
        return _Found(tuple(kept), (0,) * len(kept), total=len(rows))

    def _best(self, recall: Recall, signals: dict[str, Signal], allowed: Rows) -> _Found:
        moments = self._moments
        of_words = [signals.pop(name) for name in ("named", "told") if name in signals]
        signals |= {"words": joined(of_words)} if of_words else {}
        scores = mixed({name: one.events for name, one in signals.items()}, moments.place)
        matching = np.any([one.matches(exact=False) for one in signals.values()], axis=0)
        hits = [int(row) for row in np.argsort(-scores, kind="stable") if matching[row]]
        sessions = moments.events.sessions
        pairs = with_neighbours(hits, moments.order, moments.place, sessions, recall.k)
        pairs = [(row, step) for row, step in pairs if allowed[row]]
        surest = max(signals.values(), key=lambda one: float(one.sights.max(initial=-np.inf)))
        rows, steps = [row for row, _ in pairs], [step for _, step in pairs]
        return _Found(tuple(rows), tuple(steps), scores, surest.sights, len(hits))

    def _signals(self, recall: Recall, allowed: Rows) -> dict[str, Signal]:
        """By name, the surest first; those that `recall.by` asks for and this memory can have."""
        moments, terms = self._moments, asked_for(recall.what)
        found: dict[str, Signal] = {}
        if recall.image is not None and recall.by in ("all", "look", "meaning"):
            found |= self._picture_signals(recall, allowed)
        if terms and recall.by in ("all", "words", "sequence"):
            strict = recall.how != "best" and not recall.then
            wanted = Wanted(tuple(terms), head_of(recall.what), strict)
            labels = self._labels.update(moments, self._vocabulary)
            of_words = word_signals(
                self._connection, moments, self._vocabulary, labels, wanted, allowed
            )
            if asks_of_words(recall.what):
                found["told"] = of_words["told"]
            found |= of_words
        encoder = self._encoder or self._pictures
        if terms and encoder is not None and recall.by in ("all", "meaning", "sequence"):
            vector = encoder.encode_text([" ".join(terms)])[0]
            found.setdefault("meaning", meaning_signal(moments, vector, allowed))
        return found

    def _picture_signals(self, recall: Recall, allowed: Rows) -> dict[str, Signal]:
        image, found = recall.image, dict[str, Signal]()
        assert image is not None
        mask = np.ones(image.shape[:2], np.bool_)
        if recall.mask is not None:
            mask = decode_mask(recall.mask)
        if self._appearance is not None and recall.by != "meaning":
            look = self._appearance.look(image, mask)
            found["look"] = look_signal(self._moments, look, allowed)
        if self._pictures is not None and recall.by != "look":
            vector = self._pictures.encode_regions([image], [mask])[0]
            found["meaning"] = meaning_signal(self._moments, vector, allowed)
        if not found:
            raise QueryError(
                "expected an encoder of pictures to recall by one, got none; "
                "run `foveal models pull`"
            )
        return found

    def _sequence(self, recall: Recall, allowed: Rows) -> _Found:
        """The best-aligned events of the scenes, in time (retrieval/memory/sequences.py)."""
        moments = self._moments
        scenes = [
            self._scene(replace(recall, what=what, then=())) for what in (recall.what, *recall.then)
        ]
        # Sessions follow one another, whatever their clocks said.
        order = np.array([row for row in moments.order if allowed[row]], np.int64)
        if not order.size:
            return _Found()
        times = np.maximum.accumulate(moments.events.starts[order])
        scores = np.stack(scenes)[:, order]
        found = align(rank_evidence(scores), times, k=1)
        rows = [int(order[place]) for one in found for place in one.places if place is not None]
        totals = np.full(moments.size, found[0].score if found else 0.0, np.float32)
        return _Found(tuple(rows), (0,) * len(rows), totals, None, len(rows))

    def _scene(self, recall: Recall) -> Floats:
        """[T] of one scene: words where any event has them, else meaning."""
        signals = self._signals(recall, np.ones(self._moments.size, np.bool_))
        words = joined([signals["named"], signals["told"]])
        if words.best >= words.floor or "meaning" not in signals:
            return words.events
        return signals["meaning"].events


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")
