"""One thread for all models, shared fairly: sessions take turns, a job at a time.

An answer takes long, so at its tokens it gives way: frames of the other sessions run in between,
on the same thread. Models therefore need no locks, and nobody's masks stand still while somebody
else gets an answer.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from stream.clock import NS_PER_MS, Clock

T = TypeVar("T")
GIVE_WAY_NS = 60 * NS_PER_MS  # an answer gives way at most this often


class Lane:
    """One session's place in the queue."""

    def __init__(self, worker: "FairWorker") -> None:
        self._worker = worker
        self.jobs: deque[tuple[Future[Any], Callable[[], Any], bool]] = deque()

    def submit(self, job: Callable[[], T], short: bool = False) -> Future[T]:
        """Queue a job; a `short` one may run while another session's answer gives way."""
        return self._worker.submit(self, job, short)

    def give_way(self) -> None:
        """In the middle of a job of this lane: let one short job of another lane run."""
        self._worker.give_way(self)

    def close(self) -> None:
        """Drop what waits."""
        self._worker.close_lane(self)


class FairWorker:
    """The thread. Lanes with work are served in turn."""

    def __init__(self, clock: Clock, name: str = "models") -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._lanes: deque[Lane] = deque()  # those with work, next first
        self._running: list[Lane] = []  # innermost last
        self._gave_ns = 0
        self._closed = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def lane(self) -> Lane:
        """A place for one more session."""
        return Lane(self)

    def submit(self, lane: Lane, job: Callable[[], T], short: bool) -> Future[T]:
        """See `Lane.submit`; once closed, the future is cancelled."""
        future: Future[T] = Future()
        with self._changed:
            if self._closed:
                future.cancel()
                return future
            if not lane.jobs:
                self._lanes.append(lane)
            lane.jobs.append((future, job, short))
            self._changed.notify()
        return future

    def give_way(self, lane: Lane) -> None:
        """See `Lane.give_way`; a job that was given way to does not give way itself."""
        now_ns = self._clock.now_ns()
        if self._running != [lane] or now_ns - self._gave_ns < GIVE_WAY_NS:
            return
        taken = self._take(lambda other: other is not lane and other.jobs[0][2])
        if taken is not None:
            self._run(*taken)
        self._gave_ns = self._clock.now_ns()

    def close_lane(self, lane: Lane) -> None:
        """See `Lane.close`."""
        with self._changed:
            dropped = [future for future, _, _ in lane.jobs]
            lane.jobs.clear()
            if lane in self._lanes:
                self._lanes.remove(lane)
        for future in dropped:
            future.cancel()

    def close(self) -> None:
        """Finish the job that runs, drop the others."""
        with self._changed:
            self._closed = True
            lanes = list(self._lanes)
            self._changed.notify()
        for lane in lanes:
            self.close_lane(lane)

    def join(self, timeout_s: float) -> bool:
        """Wait for the end of the job that runs; whether it came."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._lanes and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
            taken = self._take(lambda _: True)
            if taken is not None:
                self._run(*taken)

    def _take(
        self, wanted: Callable[[Lane], bool]
    ) -> tuple[Lane, Future[Any], Callable[[], Any]] | None:
        """The first job of the first wanted lane, which goes to the end of the line."""
        with self._changed:
            lane = next((lane for lane in self._lanes if wanted(lane)), None)
            if lane is None:
                return None
            self._lanes.remove(lane)
            future, job, _ = lane.jobs.popleft()
            if lane.jobs:
                self._lanes.append(lane)
            return lane, future, job

    def _run(self, lane: Lane, future: Future[Any], job: Callable[[], Any]) -> None:
        if not future.set_running_or_notify_cancel():
            return
        self._running.append(lane)
        try:
            result = job()
        except BaseException as error:  # told to whoever waits for it
            future.set_exception(error)
        else:
            future.set_result(result)
        finally:
            self._running.pop()
