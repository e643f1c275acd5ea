"""Cancelling an answer: from any thread, once, with the owners of blocking reads told."""

import threading
from functools import partial

import pytest

from reasoning.generation.cancel import CancelToken
from stream.errors import Cancelled


def test_a_token_is_cancelled_once_and_keeps_its_first_reason() -> None:
    token, told = CancelToken(), []
    token.on_cancel(lambda: told.append(token.cancelled))
    token.check()
    assert (token.cancelled, token.reason) == (False, "")
    token.cancel("another question was asked")
    token.cancel("the session has ended")
    assert told == [True] and token.cancelled
    with pytest.raises(Cancelled, match="another question was asked"):
        token.check()


def test_a_removed_callback_does_not_run() -> None:
    token, told = CancelToken(), []
    remove = token.on_cancel(lambda: told.append("removed"))
    token.on_cancel(lambda: told.append("kept"))
    remove()
    remove()
    token.cancel()
    assert told == ["kept"]


def test_a_late_callback_runs_at_once() -> None:
    token, told = CancelToken(), []
    token.cancel()
    remove = token.on_cancel(lambda: told.append("late"))
    remove()
    assert told == ["late"]


def test_a_failing_callback_does_not_keep_the_others_from_running() -> None:
    token, told = CancelToken(), []

    def fail() -> None:
        raise OSError("closed already")

    token.on_cancel(fail)
    token.on_cancel(lambda: told.append("ran"))
    token.cancel()
    assert told == ["ran"]


def test_cancelling_from_many_threads_runs_each_callback_once() -> None:
    token, ready = CancelToken(), threading.Barrier(8)
    told: list[int] = []
    for number in range(50):
        token.on_cancel(partial(told.append, number))

    def cancel() -> None:
        ready.wait(10)
        token.cancel()

    threads = [threading.Thread(target=cancel) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(told) == list(range(50))


def test_a_blocking_read_is_broken() -> None:
    token, closed = CancelToken(), threading.Event()
    remove = token.on_cancel(closed.set)
    threading.Timer(0.01, token.cancel).start()
    assert closed.wait(10)
    remove()
