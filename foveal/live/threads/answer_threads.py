"""Where live answers are made: in threads of their own, so that no mask waits for one.

A question gets a thread. Those whose model runs in this process share its turn, which an answer
hands on at every token: sessions answer side by side, a token at a time, and no model is used by
two threads at once. An answer that waits for a server holds no turn; if the server hangs, that
costs nobody else anything, and once its question is cancelled the thread is left behind.
"""

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from types import TracebackType
from typing import Self

from reasoning.generation.cancel import CancelToken
from stream.clock import NS_PER_S, Clock
from stream.errors import BackendError, Cancelled

MAX_THREADS = 64  # of a server; more can only be if many hang


class FairTurn:
    """Held by one at a time, in the order in which it was asked for."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._line: deque[object] = deque()  # who holds it, then those who wait

    @property
    def wanted(self) -> bool:
        """Whether others wait for it."""
        return len(self._line) > 1

    def take(self, cancel: CancelToken) -> None:
        """Wait for it; raises Cancelled, without it, when `cancel` comes first."""
        ticket = object()
        remove = cancel.on_cancel(self._wake)
        with self._changed:
            self._line.append(ticket)
            self._changed.wait_for(lambda: self._line[0] is ticket or cancel.cancelled)
            if cancel.cancelled:
                self._line.remove(ticket)
                self._changed.notify_all()
        remove()
        cancel.check()

    def give_back(self) -> None:
        """Whoever holds it lets the next one have it."""
        with self._changed:
            self._line.popleft()
            self._changed.notify_all()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()


class Seat:
    """An answer's place at the turn, while it is made; without a turn it waits for nobody."""

    def __init__(self, turn: FairTurn | None, cancel: CancelToken) -> None:
        self._turn, self._cancel = turn, cancel
        self._held = False

    def __enter__(self) -> Self:
        self._take()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.leave()

    def leave(self) -> None:
        """Let others have the turn from now on; it may be left twice."""
        if self._turn is not None and self._held:
            self._held = False
            self._turn.give_back()

    def hand_on(self) -> None:
        """Between two tokens: let those who wait have the turn; raises Cancelled."""
        self._cancel.check()
        if self._turn is not None and self._held and self._turn.wanted:
            self.leave()
            self._take()

    def _take(self) -> None:
        if self._turn is not None:
            self._turn.take(self._cancel)
            self._held = True


class AnswerThreads:
    """Those of one server."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._turn = FairTurn()  # of the models in this process
        self._threads: list[threading.Thread] = []

    def start(
        self, work: Callable[[Seat], None], cancel: CancelToken, remote: bool
    ) -> threading.Thread:
        """Run `work` in a thread, which ends soon after `cancel`; `remote`: it holds no turn.

        Raises BackendError when so many hang that no other can start.
        """
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        if len(self._threads) >= MAX_THREADS:
            raise BackendError(
                f"expected fewer than {MAX_THREADS} answers that hang; restart the model server"
            )
        seat = Seat(None if remote else self._turn, cancel)

        def run() -> None:
            with suppress(Cancelled), seat:  # it was cancelled before its turn came
                work(seat)

        # A daemon: what hangs in a read must not keep the process from its end.
        thread = threading.Thread(
            target=copy_context().run, args=(run,), name="answer", daemon=True
        )
        self._threads.append(thread)
        thread.start()
        return thread

    def join(self, timeout_s: float) -> bool:
        """Wait for the end of all, which were cancelled; whether it came."""
        deadline_ns = self._clock.now_ns() + round(timeout_s * NS_PER_S)
        for thread in self._threads:
            thread.join(max(0.0, (deadline_ns - self._clock.now_ns()) / NS_PER_S))
        return not any(thread.is_alive() for thread in self._threads)
