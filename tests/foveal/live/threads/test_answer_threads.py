"""Turns of the answers: a token each, cancelled while they wait, never two at once."""

import threading
from collections.abc import Callable

import pytest

from foveal.live.threads.answer_threads import MAX_THREADS, AnswerThreads, FairTurn, Seat
from reasoning.generation.cancel import CancelToken
from stream.clock import MonotonicClock
from stream.errors import BackendError, Cancelled


class Rig:
    """Threads whose work waits for `go`."""

    def __init__(self) -> None:
        self.threads = AnswerThreads(MonotonicClock())
        self.go = threading.Event()
        self.log: list[str] = []
        self.inside, self.most = 0, 0

    def hold(self, _: Seat) -> None:
        """Work that takes until `go`."""
        self.go.wait(10)

    def tokens(self, name: str, count: int) -> Callable[[Seat], None]:
        """Work that writes so many tokens, one a turn."""

        def work(seat: Seat) -> None:
            for number in range(count):
                self.inside += 1
                self.most = max(self.most, self.inside)
                self.log.append(f"{name}{number}")
                self.inside -= 1
                seat.hand_on()

        return work


def test_answers_in_this_process_take_turns_at_their_tokens() -> None:
    rig = Rig()
    rig.threads.start(rig.hold, CancelToken(), remote=False)
    for name in "ab":  # both wait in line
        rig.threads.start(rig.tokens(name, 4), CancelToken(), remote=False)
    rig.go.set()
    assert rig.threads.join(10)
    assert sorted(rig.log) == [f"{name}{n}" for name in "ab" for n in range(4)]
    assert rig.log.index("b0") < rig.log.index("a3")  # b began before a ended
    assert rig.most == 1


def test_an_answer_of_a_server_waits_for_no_turn() -> None:
    rig = Rig()
    rig.threads.start(rig.hold, CancelToken(), remote=False)
    done = threading.Event()
    rig.threads.start(lambda _: done.set(), CancelToken(), remote=True)
    assert done.wait(10)
    rig.go.set()
    assert rig.threads.join(10)


def test_one_that_is_cancelled_while_it_waits_never_begins() -> None:
    rig, cancel = Rig(), CancelToken()
    rig.threads.start(rig.hold, CancelToken(), remote=False)
    thread = rig.threads.start(lambda _: rig.log.append("began"), cancel, remote=False)
    cancel.cancel("another question was asked")
    thread.join(10)
    assert not thread.is_alive() and rig.log == []
    rig.go.set()
    assert rig.threads.join(10)
    after = threading.Event()
    rig.threads.start(lambda _: after.set(), CancelToken(), remote=False)
    assert after.wait(10)  # the turn was not lost


def test_one_that_is_cancelled_at_its_token_gives_the_turn_back() -> None:
    turn, cancel = FairTurn(), CancelToken()
    with pytest.raises(Cancelled), Seat(turn, cancel) as seat:
        cancel.cancel()
        seat.hand_on()
    with Seat(turn, CancelToken()):
        assert not turn.wanted


def test_a_seat_may_be_left_early() -> None:
    turn = FairTurn()
    with Seat(turn, CancelToken()) as seat:
        seat.leave()
        with Seat(turn, CancelToken()):
            assert not turn.wanted
    turn.take(CancelToken())
    turn.give_back()


def test_threads_that_hang_are_bounded() -> None:
    rig = Rig()
    for _ in range(MAX_THREADS):
        rig.threads.start(rig.hold, CancelToken(), remote=True)
    with pytest.raises(BackendError, match="hang"):
        rig.threads.start(lambda _: None, CancelToken(), remote=True)
    assert not rig.threads.join(0.0)
    rig.go.set()
    assert rig.threads.join(10)
