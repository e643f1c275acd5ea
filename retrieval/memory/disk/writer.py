"""The thread that writes a memory: a session hands over what it saw, and never waits for a disk.

What waits is bounded. When it grows, the oldest sights are dropped and counted, and the events keep
their words. When the disk is full or fails, or events themselves pile up, the memory pauses and
says why: what waits is kept and tried again, what comes meanwhile is refused and counted.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from retrieval.memory.disk.folding import upkeep
from retrieval.memory.disk.store import MemoryRecord, MemoryStore
from retrieval.memory.events import Event, MemorySession, Sight
from stream.clock import NS_PER_S, Clock
from stream.errors import ChannelClosed, MemoryFileError

MAX_EVENTS = 2_000  # that wait: five hours' worth
MAX_WAITING = 20_000  # sights that wait: ten hours' worth, 11 MB
BATCH = 64  # events of one transaction at most
LOOK_AGAIN_S = 1.0  # whether it is time for that
RETRY_NS = 30 * NS_PER_S  # between two tries at a disk that failed


@dataclass(frozen=True, slots=True)
class WriterStatus:
    """A memory's numbers at one moment."""

    events: int = 0  # written
    sights: int = 0
    waiting: int = 0  # events
    refused: dict[str, int] = field(default_factory=dict)  # cause -> events and sights
    paused: str = ""  # why nothing is remembered just now; empty while all is well


@dataclass(slots=True)
class _Task:
    """A record, or something else that is done to the store, in its turn."""

    record: MemoryRecord | None = None
    durable: bool = False
    work: Callable[[MemoryStore], object] | None = None
    done: Future[object] | None = None


class MemoryWriter:
    """Owns a file's store and the thread that writes it; any thread may call its methods."""

    def __init__(
        self,
        path: Path,
        clock: Clock,
        max_events: int = MAX_EVENTS,
        max_sights: int = MAX_WAITING,
        keep_days: float | None = None,
    ) -> None:
        """Open the file; raises MemoryFileError, for another writer with its process.

        `clock` is for tries at a disk that failed; `keep_days`: what is older is forgotten.
        """
        self.path = path
        self._store = MemoryStore(path)
        self._clock, self._keep_days = clock, keep_days
        self._max_events, self._max_sights = max_events, max_sights
        self._tasks: deque[_Task] = deque()
        self._wake = threading.Condition()
        self._sights = self._retry_ns = 0
        self._status, self._refused = WriterStatus(), Counter[str]()
        self._closing = False
        self._failed: MemoryFileError | None = None  # a write, which is tried again later
        self._thread = threading.Thread(target=self._run, name="foveal-memory", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def status(self) -> WriterStatus:
        """The numbers so far."""
        with self._wake:
            waiting = sum(1 for task in self._tasks if task.record is not None)
            return replace(self._status, waiting=waiting, refused=dict(self._refused))

    def begin(self, session: MemorySession) -> None:
        """Know a session before its events; then upkeep, as of the time it began."""
        self._put(_Task(work=lambda store: store.begin(session)))
        self.run(lambda store: upkeep(store, session.anchor_ns, self._keep_days))

    def remember(self, event: Event, sights: Sequence[Sight] = (), durable: bool = False) -> bool:
        """Hand over an event; False, and counted, while the memory is paused.

        `durable`: answers and consent, which a power cut must not take.
        """
        with self._wake:
            if self._status.paused and self._clock.now_ns() < self._retry_ns:
                self._refused["the memory is paused"] += 1
                self._wake.notify_all()
                return False
            if len(self._tasks) >= self._max_events:
                self._pause("the disk does not keep up")
                self._refused["the memory is paused"] += 1
                return False
        self._put(_Task(MemoryRecord(event, tuple(sights)), durable))
        return True

    def run(self, work: Callable[[MemoryStore], object]) -> Future[object]:
        """Do something to the store after all that was handed over before it: forget, fold."""
        task = _Task(work=work, done=Future())
        self._put(task)
        assert task.done is not None
        return task.done

    def flush(self, timeout_s: float | None = None) -> None:
        """Return once what was handed over is in the file; raises MemoryFileError where it cannot.

        TimeoutError after `timeout_s`. While the memory is paused nobody waits for its next try.
        """
        with self._wake:
            if self._failed is not None:
                raise self._failed
        self.run(lambda _: None).result(timeout_s)

    def close(self) -> None:
        """Write what waits, and close the file; what cannot be written is counted as refused."""
        with self._wake:
            self._closing = True
            self._wake.notify_all()
        self._thread.join()

    def _put(self, task: _Task) -> None:
        with self._wake:
            if self._closing:
                raise ChannelClosed("expected a memory that is open, got one that was closed")
            self._tasks.append(task)
            self._sights += _sights(task)
            if self._sights > self._max_sights:
                self._drop_sights()
            self._wake.notify_all()

    def _drop_sights(self) -> None:
        """The oldest ones; their events keep their words."""
        for task in self._tasks:
            if self._sights <= self._max_sights:
                return
            if task.record is not None and (count := _sights(task)):
                task.record = MemoryRecord(task.record.event)
                self._sights -= count
                self._refused["sights that waited too long"] += count

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._tasks or self._closing)
                if not self._tasks:
                    break
                batch = self._take()
            failed = self._write(batch)
            with self._wake:
                if failed is None:
                    self._status = replace(self._status, paused="")
                elif not self._put_back(batch, failed):
                    break
        self._store.close()

    def _take(self) -> list[_Task]:
        """Records up to a batch, or the one thing else whose turn it is."""
        batch = [self._tasks.popleft()]
        while batch[-1].record and self._tasks and self._tasks[0].record and len(batch) < BATCH:
            batch.append(self._tasks.popleft())
        self._sights -= sum(_sights(task) for task in batch)
        return batch

    def _write(self, batch: Sequence[_Task]) -> MemoryFileError | None:
        """None when it is done, or has failed for a reason of its own, which its caller is told."""
        first = batch[0]
        try:
            if first.work is None:
                records = [task.record for task in batch if task.record is not None]
                self._count(records, any(task.durable for task in batch))
            else:
                _tell(first.done, first.work(self._store))
        except MemoryFileError as error:
            if first.done is None:
                return error
            first.done.set_exception(error)
        except Exception as error:  # its caller's, whatever it is: the thread goes on
            if first.done is None:
                raise
            first.done.set_exception(error)
        return None

    def _count(self, records: Sequence[MemoryRecord], durable: bool) -> None:
        done = self._store.append(records, durable)
        with self._wake:
            events, sights = self._status.events + done.events, self._status.sights + done.sights
            self._status = replace(self._status, events=events, sights=sights)
            self._refused.update(done.refused)

    def _put_back(self, batch: Sequence[_Task], error: MemoryFileError) -> bool:
        """Keep what could not be written, and wait for the next try; False when closing."""
        self._tasks.extendleft(reversed(batch))
        self._sights += sum(_sights(task) for task in batch)
        self._pause(str(error))
        self._fail_waiting(error)
        self._failed = error
        while not self._closing and self._clock.now_ns() < self._retry_ns:
            self._wake.wait(LOOK_AGAIN_S)
        self._failed = None
        if self._closing:
            self._refused["the memory was closed while it was paused"] += len(self._tasks)
        return not self._closing

    def _pause(self, why: str) -> None:
        self._status = replace(self._status, paused=why)
        self._retry_ns = self._clock.now_ns() + RETRY_NS

    def _fail_waiting(self, error: MemoryFileError) -> None:
        """Whoever waits for the disk is told; what was handed over is kept."""
        for task in [task for task in self._tasks if task.done is not None]:
            self._tasks.remove(task)
            if task.done is not None:
                task.done.set_exception(error)


def _sights(task: _Task) -> int:
    return len(tuple(task.record.sights)) if task.record is not None else 0


def _tell(done: Future[object] | None, result: object) -> None:
    if done is not None:
        done.set_result(result)
