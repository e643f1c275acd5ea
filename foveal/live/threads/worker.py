"""One thread for all that a stream needs of the models, shared fairly: sessions take turns, a frame
at a time. Answers are made elsewhere (`foveal.live.threads.answer_threads`).
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class Lane:
    """One session's place in the queue."""

    def __init__(self, worker: "FairWorker") -> None:
        self._worker = worker
        self.jobs: deque[tuple[Future[Any], Callable[[], Any]]] = deque()

    def submit(self, job: Callable[[], T]) -> Future[T]:
        """Queue a job."""
        return self._worker.submit(self, job)

    def close(self) -> None:
        """Drop what waits."""
        self._worker.close_lane(self)


class FairWorker:
    """The thread. Lanes with work are served in turn."""

    def __init__(self, name: str = "models") -> None:
        self._changed = threading.Condition()
        self._lanes: deque[Lane] = deque()  # those with work, next first
        self._closed = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def lane(self) -> Lane:
        """A place for one more session."""
        return Lane(self)

    def submit(self, lane: Lane, job: Callable[[], T]) -> Future[T]:
        """See `Lane.submit`; once closed, the future is cancelled."""
        future: Future[T] = Future()
        with self._changed:
            if self._closed:
                future.cancel()
                return future
            if not lane.jobs:
                self._lanes.append(lane)
            lane.jobs.append((future, job))
            self._changed.notify()
        return future

    def close_lane(self, lane: Lane) -> None:
        """See `Lane.close`."""
        with self._changed:
            dropped = [future for future, _ in lane.jobs]
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
        while (taken := self._take()) is not None:
            future, job = taken
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = job()
            except BaseException as error:  # told to whoever waits for it
                future.set_exception(error)
            else:
                future.set_result(result)

    def _take(self) -> tuple[Future[Any], Callable[[], Any]] | None:
        """The first job of the first lane, which goes to the end of the line; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._lanes or self._closed)
            if self._closed:
                return None
            lane = self._lanes.popleft()
            taken = lane.jobs.popleft()
            if lane.jobs:
                self._lanes.append(lane)
            return taken
