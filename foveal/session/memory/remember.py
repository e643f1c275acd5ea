"""What a session remembers: a tap between the session and its sink.

All that the session makes goes on to its sink untouched. Beside it, what was seen becomes events
with sights, and questions with their answers become words. Nothing here holds up a frame of a live
session: pictures are looked at, and events written, in threads of their own, and what these cannot
keep up with is left out and counted.
"""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial

from foveal.session.memory.beside import Beside
from foveal.session.memory.event_line import EventLine, Over
from foveal.session.memory.impressions import Impressions
from foveal.session.memory.kept_views import KeptViews, recalled
from foveal.session.memory.running_event import Looks, RunningEvent
from foveal.session.stages import SessionSink
from retrieval.memory.disk.forgetting import Forgotten, forget_all, forget_since
from retrieval.memory.disk.store import MemoryStore
from retrieval.memory.disk.writer import MemoryWriter
from retrieval.memory.events import MAX_TEXT, Event, MemorySession
from stream.clock import VirtualClock
from stream.errors import FovealError
from stream.events import Answer, AnswerEvent, Region
from stream.frame import Frame, Keyframe

logger = logging.getLogger(__name__)

MAX_WAITING = 256  # events on their way to the writer
SETTLE_S = 2.0  # that a question waits for what was seen before it to be in the file


@dataclass(slots=True, eq=False)
class Rememberer:
    """One memory with its writer, shared by the sessions of a process that may write it."""

    writer: MemoryWriter
    impressions: Impressions
    beside: Beside
    reads: bool = False  # whether written words are read, without being asked
    zone: str = "UTC"
    patience_s: float = SETTLE_S
    views: KeptViews = field(default_factory=KeptViews)
    taps: list["Remembering"] = field(default_factory=list)

    def tap(
        self, sink: SessionSink, name: str, anchor_ns: int, wall: VirtualClock | None = None
    ) -> "Remembering":
        """The tap of a new session; raises BadRecord for a name that is none.

        `anchor_ns`: Unix time at 0 of its stream. `wall` is moved with the stream, for recordings.
        """
        session = MemorySession(name, anchor_ns, self.zone, self.impressions.encoder)
        self.writer.begin(session)
        tap = Remembering(sink, self, session, wall)
        self.taps.append(tap)
        return tap

    def under_way(self) -> list[str]:
        """Ids of events that are not over."""
        return [tap.line.next_id for tap in list(self.taps)]

    def settle(self) -> None:
        """Wait until what was seen is in the file, but not for long: a question waits."""
        for tap in list(self.taps):
            tap.release()
        try:
            done: Future[None] = Future()
            self.beside.do(lambda: done.set_result(None))
            done.result(self.patience_s)
            self.writer.flush(self.patience_s)
        except (FovealError, TimeoutError) as error:
            logger.warning("a memory is asked before all that was seen is in it: %s", error)

    def forget(self, since_ns: int | None) -> Future[Forgotten]:
        """Forget what ended at or after a Unix time, or everything; what is going on as well."""
        for tap in list(self.taps):
            tap.release()  # what is over may have ended before that time
            tap.drop()
        done: Future[Forgotten] = Future()

        def forget(store: MemoryStore) -> Forgotten:
            return forget_all(store) if since_ns is None else forget_since(store, since_ns)

        def begin() -> None:  # behind the events that are still on their way
            self.views.clear()
            self.writer.run(forget).add_done_callback(partial(_hand_on, done))

        self.beside.do(begin)
        return done

    def close(self) -> None:
        """End all sessions, write what waits, close the file."""
        for tap in list(self.taps):
            tap.close()
        self.beside.close()
        self.writer.close()


class Remembering:
    """A SessionSink in front of another. Its methods are the session's; `drop` is any thread's."""

    def __init__(
        self,
        sink: SessionSink,
        memory: Rememberer,
        session: MemorySession,
        wall: VirtualClock | None,
    ) -> None:
        self._sink, self._memory, self._session, self._wall = sink, memory, session, wall
        self._looks = Looks(memory.impressions)
        self._lock = threading.Lock()  # of the line
        self.line = EventLine(session.id)
        self._asked = 0
        self._told_pause = ""
        self.on = True  # off: nothing is remembered until it is on again
        self.left_out: Counter[str] = Counter()  # cause -> count

    def frame(self, frame: Frame, regions: tuple[Region, ...], keyframe: Keyframe | None) -> None:
        """Hand a frame on, and see what is in it."""
        self._sink.frame(frame, regions, keyframe)
        self._pass(frame.pts_ns)
        self._guarded(lambda: self._see(frame, regions, keyframe))
        if keyframe is not None:
            self._tell_pause(frame.pts_ns)

    def event(self, event: AnswerEvent) -> None:
        """Hand an event on."""
        self._pass(event.stream_ns)
        self._sink.event(event)

    def answer(self, answer: Answer, frame: Frame, regions: tuple[Region, ...]) -> None:
        """Hand an answer on, and remember it with its question.

        Unless it was remembered itself: an echo would be the last trace of what was asked for.
        """
        self._sink.answer(answer, frame, regions)
        if recalled(answer) is None:
            self._guarded(lambda: self._hear(answer))

    def drop(self) -> None:
        """Forget the events that are not over, and what their things look like."""
        with self._lock:
            self.line = EventLine(self._session.id, count=self.line.count)
            self._looks = Looks(self._memory.impressions)

    def release(self) -> None:
        """Write the event before the one that goes on, though its end might still move."""
        with self._lock:
            over = self.line.release()
        self._write_all(over)

    def close(self) -> None:
        """The session has ended; twice is fine."""
        self._end()
        if self in self._memory.taps:
            self._memory.taps.remove(self)

    def stop(self) -> None:
        """Remember nothing more, until `on` is set again; what was seen so far stays."""
        self.on = False
        self._end()

    def _pass(self, stream_ns: int) -> None:
        if self._wall is not None:
            self._wall.advance_to(self._session.wall_ns(stream_ns))

    def _guarded(self, work: Callable[[], None]) -> None:
        """Whatever a memory does, the session goes on."""
        if not self.on:
            return
        try:
            work()
        except Exception as error:
            self.left_out[type(error).__name__] += 1
            logger.warning("not remembered: %s", error, exc_info=not isinstance(error, FovealError))

    def _see(self, frame: Frame, regions: tuple[Region, ...], keyframe: Keyframe | None) -> None:
        with self._lock:
            over, wanted = self.line.take(frame, regions, keyframe)
        self._write_all(over)
        if wanted is not None:
            memory = self._memory
            look = partial(wanted.look, frame, regions, memory.impressions, memory.reads)
            if not memory.beside.offer(look):
                self.left_out["looks"] += 1

    def _end(self) -> None:
        """What goes on is over."""
        with self._lock:
            over = self.line.finish()
        self._write_all(over)

    def _write_all(self, over: Iterable[Over]) -> None:
        for one in over:
            self._later(partial(self._write, one))

    def _write(self, over: Over) -> None:
        """Behind all looks at it."""
        whole = RunningEvent.joined(over.id, over.stretches)
        event, sights = whole.close(self._looks)
        self._memory.writer.remember(event, sights)
        for one in whole.followed.values():
            if one.name and one.image is not None:
                self._memory.views.keep(event.id, one.image, one.region)

    def _hear(self, answer: Answer) -> None:
        self._asked += 1
        number, at_ns = self._asked, answer.question.asked_ns
        parent = self.line.next_id  # told in an event that is not over
        said = (("q", answer.question.text, "wearer"), ("a", answer.text, "foveal"))
        for kind, words, by in said:
            name = f"{self._session.id}/{kind}{number}"
            event = Event(
                name, self._session.id, at_ns, at_ns, parent, said=words[:MAX_TEXT], spoken_by=by
            )
            durable = kind == "a"
            self._later(partial(self._memory.writer.remember, event, (), durable))

    def _later(self, work: Callable[[], object]) -> None:
        if self._memory.beside.waiting < MAX_WAITING:
            self._memory.beside.do(work)
        else:
            self.left_out["events"] += 1

    def _tell_pause(self, at_ns: int) -> None:
        """A memory that cannot be written is told, once for each time."""
        why = self._memory.writer.status.paused
        if why and not self._told_pause:
            self._sink.event(AnswerEvent("refused", at_ns, {"cause": "memory", "reason": why}))
        self._told_pause = why


def _hand_on(done: Future[Forgotten], inner: Future[object]) -> None:
    error = inner.exception()
    if error is not None:
        done.set_exception(error)
    else:
        result = inner.result()
        assert isinstance(result, Forgotten)
        done.set_result(result)
