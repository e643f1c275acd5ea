"""Stopping an answer from another thread: barge-in, the end of a session, lost patience.

Whoever waits for an answer holds the token and cancels it; whoever makes the answer looks at it
between tokens. A blocking read has no tokens to look between, so its owner leaves a callback that
breaks the read: closing an HTTP response, for one.
"""

import logging
import threading
from collections.abc import Callable

from stream.errors import Cancelled

logger = logging.getLogger(__name__)


class CancelToken:
    """Of one answer; safe from any thread. Once cancelled it stays so."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._next = 0
        self._reason = ""

    @property
    def cancelled(self) -> bool:
        """Whether the answer is no longer wanted."""
        return self._event.is_set()

    @property
    def reason(self) -> str:
        """Why it was cancelled; empty before."""
        return self._reason

    def cancel(self, reason: str = "the answer was cancelled") -> None:
        """Stop the answer: run the callbacks, once; the first reason stays.

        A callback that fails is logged, and the others run all the same.
        """
        with self._lock:
            if self._event.is_set():
                return
            self._reason = reason
            self._event.set()
            callbacks = list(self._callbacks.values())
            self._callbacks.clear()
        for callback in callbacks:
            _run(callback)

    def check(self) -> None:
        """Raise Cancelled once it is cancelled."""
        if self._event.is_set():
            raise Cancelled(self._reason)

    def on_cancel(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have `callback` run when it is cancelled, or now if it is; returns what removes it.

        It runs in the thread that cancels, so it must be quick and must not wait for that thread.
        Removing it twice, or after it ran, does nothing.
        """
        with self._lock:
            late = self._event.is_set()
            number, self._next = self._next, self._next + 1
            if not late:
                self._callbacks[number] = callback
        if late:
            _run(callback)

        def remove() -> None:
            with self._lock:
                self._callbacks.pop(number, None)

        return remove


def _run(callback: Callable[[], None]) -> None:
    try:
        callback()
    except Exception:  # a broken clean-up must not keep the others from theirs
        logger.exception("a callback of a cancelled answer failed")
