"""Keyframes that are read ahead: none waits for a thread that is about to end."""

import threading
from collections.abc import Callable

import pytest

from foveal.live.threads.answer_threads import AnswerThreads, Seat
from foveal.live.turns import ReadingAhead
from reasoning.generation.cancel import CancelToken
from stream.clock import MonotonicClock
from stream.errors import BackendError

PATIENCE_S = 10.0


class LingeringThreads(AnswerThreads):
    """Threads that live on for a while after they have looked for the last time."""

    def __init__(self) -> None:
        super().__init__(MonotonicClock())
        self.over, self.may_end = threading.Event(), threading.Event()
        self.full = False

    def start(
        self, work: Callable[[Seat], None], cancel: CancelToken, remote: bool
    ) -> threading.Thread:
        def lingering(seat: Seat) -> None:
            work(seat)
            self.over.set()
            self.may_end.wait(PATIENCE_S)

        if self.full:
            raise BackendError("no more threads")
        return super().start(lingering, cancel, remote)


def test_a_keyframe_that_comes_while_the_thread_ends_is_read() -> None:
    threads = LingeringThreads()
    ahead, second = ReadingAhead(threads, remote=True), threading.Event()
    ahead.put(lambda: None)
    assert threads.over.wait(PATIENCE_S)
    ahead.put(second.set)  # the first thread lives, and looks no more
    assert second.wait(PATIENCE_S)
    threads.may_end.set()
    assert threads.join(PATIENCE_S)


def test_of_those_that_wait_only_the_newest_is_read() -> None:
    threads = AnswerThreads(MonotonicClock())
    ahead, begun, go = ReadingAhead(threads, remote=True), threading.Event(), threading.Event()
    read: list[str] = []

    def first() -> None:
        begun.set()
        go.wait(PATIENCE_S)
        read.append("first")

    ahead.put(first)
    assert begun.wait(PATIENCE_S)
    ahead.put(lambda: read.append("second"))
    ahead.put(lambda: read.append("third"))
    go.set()
    assert threads.join(PATIENCE_S) and read == ["first", "third"]


def test_what_fails_is_logged_and_the_next_one_read(caplog: pytest.LogCaptureFixture) -> None:
    threads = LingeringThreads()
    ahead, second = ReadingAhead(threads, remote=True), threading.Event()
    ahead.put(lambda: [][0])
    assert threads.over.wait(PATIENCE_S) and "could not be read ahead" in caplog.text
    threads.full = True
    ahead.put(lambda: None)  # refused: it waits, and the next one takes its place
    threads.full = False
    ahead.put(second.set)
    assert second.wait(PATIENCE_S)
    threads.may_end.set()
    assert threads.join(PATIENCE_S)
