"""Work beside a session, in one thread and in order: bounded, and never in the session's way."""

import logging
import threading
from collections import deque
from collections.abc import Callable

from stream.errors import ChannelClosed

logger = logging.getLogger(__name__)

MAX_OFFERED = 4  # pictures that wait at most

Work = Callable[[], object]


class Beside:
    """Any thread may hand over work; one that fails is logged, and the next one is done."""

    def __init__(self, name: str, waits: bool = False, limit: int = MAX_OFFERED) -> None:
        """`waits`: for recordings, where whoever offers waits for room and nothing is left out."""
        self._waits, self._room = waits, threading.Semaphore(limit)
        self._work: deque[Work] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How much is not begun yet."""
        return len(self._work)

    def offer(self, work: Work) -> bool:
        """Do it where there is room for it; False where it was left out."""
        if not self._room.acquire(blocking=self._waits):
            return False

        def then_free() -> None:
            try:
                work()
            finally:
                self._room.release()

        self.do(then_free)
        return True

    def do(self, work: Work) -> None:
        """Do it in its turn; raises ChannelClosed after `close`."""
        with self._wake:
            if self._closing:
                raise ChannelClosed("expected work before the end of the session, got it after")
            self._work.append(work)
            self._wake.notify()

    def close(self) -> None:
        """Do what waits, and end; twice is fine."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._work or self._closing)
                if not self._work:
                    return
                work = self._work.popleft()
            try:
                work()
            except Exception:
                logger.warning("something was not remembered", exc_info=True)
