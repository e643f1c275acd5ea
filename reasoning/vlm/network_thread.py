"""An event loop in a thread of its own, for network clients that blocking code waits for."""

import asyncio
import concurrent.futures
import threading
import weakref
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from reasoning.generation.cancel import CancelToken

T = TypeVar("T")


class NetworkThread:
    """Runs coroutines while other threads wait; a wait ends at once when its token is cancelled.

    The thread begins with the first coroutine and ends with the object.
    """

    def __init__(self, at_end: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """`at_end`: closes what the coroutines have opened; it must not hold this object."""
        self._at_end = at_end
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def wait(self, work: Coroutine[Any, Any, T], cancel: CancelToken | None = None) -> T:
        """What a coroutine gives, or raises; raises Cancelled once `cancel` is cancelled, and the
        coroutine is stopped where it stands."""
        future = self.start(work)
        remove = cancel.on_cancel(lambda: _stop(future)) if cancel is not None else None
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            if cancel is not None:
                cancel.check()
            raise
        finally:
            if remove is not None:
                remove()
            future.cancel()

    def start(self, work: Coroutine[Any, Any, T]) -> "concurrent.futures.Future[T]":
        """Run a coroutine that nobody waits for."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                given = (self._loop, self._at_end)
                threading.Thread(target=_run, args=given, name="network", daemon=True).start()
                weakref.finalize(self, self._loop.call_soon_threadsafe, self._loop.stop)
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError:  # what is left is collected after the loop was closed
            work.close()
            none: concurrent.futures.Future[T] = concurrent.futures.Future()
            none.cancel()
            return none


def _run(loop: asyncio.AbstractEventLoop, at_end: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*left, at_end(), return_exceptions=True))
    loop.close()


def _stop(future: "concurrent.futures.Future[Any]") -> None:
    future.cancel()
