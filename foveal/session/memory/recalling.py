"""Questions to the memory in a session: found by `MemorySearcher`, told in one sentence.

"Where did you last see the cat?" -> "I last saw the cat 12 seconds ago, next to the sofa." The
sentence comes first in the evidence, so that any model may say it; the moment behind it keeps its
id, its box and its own words.
"""

import re
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Literal

from foveal.session.memory.recollection import Says, count_sentence, when_sentence, where_sentence
from retrieval.memory.asking import asked_for, how_asked, recall_of
from retrieval.memory.counting import read_question, tally
from retrieval.memory.disk.schema import open_to_read, reading
from retrieval.memory.disk.slices import NEAR, read_around, read_wall
from retrieval.memory.events import Event, Sight
from retrieval.memory.places import whereabouts
from retrieval.memory.recall import Recall
from retrieval.memory.searcher import MemorySearcher
from retrieval.memory.telling import ago, clock_time
from stream.clock import NS_PER_S, Clock
from stream.events import Evidence, Query

MAX_COUNTED = 500  # events that a count is made of
RECENT_NS = 3600 * NS_PER_S  # for so long times are told as what has passed since
MINUTE_NS = 60 * NS_PER_S

_Slice = tuple[list[Event], list[Sight]]


class Recalling:
    """`Searcher` over one memory. Any thread may search."""

    def __init__(
        self,
        searcher: MemorySearcher,
        clock: Clock,
        settle: Callable[[], None],
        replays: bool = False,
    ) -> None:
        """`clock`: wall time. `settle` waits until what was seen so far is in the file.

        `replays`: of a recording that was seen before, what lies after `clock` is not known yet.
        """
        self._searcher, self._clock, self._settle = searcher, clock, settle
        self._replays = replays

    def search(self, query: Query) -> list[Evidence]:
        """At most `query.k` moments; raises QueryError, or MemoryFileError for a damaged file."""
        self._settle()
        now_ns = self._clock.now_ns()
        recall = replace(recall_of(query), known_ns=now_ns if self._replays else None)
        found = self._searcher.recall(recall)
        asked = query.text if query.kind == "text" else query.about
        if found and not recall.then:
            told = self._sentence(recall, asked, found, now_ns)
            if told:
                first = found[0]
                found[0] = replace(first, text=f"{told} ({first.text})", nearest=(told,))
        return found

    def close(self) -> None:
        """Let go of the file; twice is fine."""
        self._searcher.close()

    def _sentence(self, recall: Recall, asked: str, found: Sequence[Evidence], now_ns: int) -> str:
        """What is told of it in one sentence; empty where no form of question fits."""
        question = read_question(asked) if recall.what else None
        how = how_asked(asked)
        ids = [one.id for one in found]
        if how == "count" and question is not None:
            counted = replace(recall, how="list", k=MAX_COUNTED)
            ids = [one.id for one in self._searcher.recall(counted)]
        with closing(open_to_read(self._searcher.path)) as connection, reading(self._searcher.path):
            events, sights = read_around(connection, ids, 0 if how == "count" else NEAR)
            wall = read_wall(connection)
        events = [one for one in events if not _of_talk(one)]
        says = _says(wall, now_ns)
        if question is not None and how in ("count", "first", "last"):
            result = tally(question, events, sights)
            tell = count_sentence if how == "count" else when_sentence
            if result.episodes or how == "count":
                return tell(result, says)
        if how in ("last", "first"):
            return _whereabouts(asked, found[0], (events, sights), says)
        return ""


def _whereabouts(asked: str, moment: Evidence, seen: _Slice, says: Says) -> str:
    """Where it was; what lies after the moment that was found is left out."""
    words = " ".join(asked_for(asked))
    name = _called(asked, words) if words else f"the {moment.title}"
    events, sights = seen
    at = next((n for n, one in enumerate(events) if one.id == moment.id), None)
    if at is None:
        return ""
    which: Literal["first", "last"] = "first" if how_asked(asked) == "first" else "last"
    # It may be called something else there: "cat" was asked for and a tabby was seen.
    for called in (name, f"the {moment.title}"):
        found = whereabouts(called, events[: at + 1], sights)
        if found is not None and found.event.id == moment.id:
            return where_sentence(name, found, says, which)
    return ""


def _called(asked: str, words: str) -> str:
    """ "my blue cup" of "where did I leave my blue cup", else "the blue cup"."""
    own = re.search(rf"\b(my|your)\s+{re.escape(words)}\b", asked, re.IGNORECASE)
    return f"{'my' if own else 'the'} {words}"


def _of_talk(event: Event) -> bool:
    """What was asked of us, and what we said: no trace of a thing."""
    return event.spoken_by == "foveal" or (
        event.spoken_by == "wearer" and event.said.rstrip().endswith("?")
    )


def _says(wall: dict[str, tuple[int, str]], now_ns: int) -> Says:
    def says(session: str, at_ns: int) -> str:
        anchor_ns, zone = wall[session]
        return moment_words(anchor_ns + at_ns, now_ns, zone)

    return says


def moment_words(at_ns: int, now_ns: int, zone: str) -> str:
    """ "12 seconds ago", "12 minutes ago", then "at 14:02", "yesterday at 14:02"."""
    passed_ns = max(0, now_ns - at_ns)
    if passed_ns < MINUTE_NS:
        seconds = round(passed_ns / NS_PER_S)
        return "just now" if not seconds else f"{seconds} second{'s' if seconds != 1 else ''} ago"
    if passed_ns < RECENT_NS:
        return ago(at_ns, now_ns)
    *day, clock = clock_time(at_ns, now_ns, zone).split(" ")
    before = "" if not day else f"{'' if day == ['yesterday'] else 'on '}{' '.join(day)} "
    return f"{before}at {clock}"
