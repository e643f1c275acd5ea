"""One thread, many sessions: turns, giving way, closing."""

import threading
from concurrent.futures import CancelledError, Future
from typing import Any

import pytest

from foveal.live.worker import GIVE_WAY_NS, FairWorker
from stream.clock import VirtualClock


class Rig:
    """A worker that stands still until `go`."""

    def __init__(self) -> None:
        self.clock = VirtualClock(GIVE_WAY_NS)
        self.worker = FairWorker(self.clock)
        self.gate = threading.Event()
        self.log: list[str] = []
        self.held = self.worker.lane().submit(lambda: self.gate.wait(10))

    def note(self, text: str) -> Any:
        return lambda: self.log.append(text)

    def go(self, *futures: Future[Any]) -> None:
        self.gate.set()
        for future in futures:
            future.result(10)


def test_sessions_take_turns() -> None:
    rig = Rig()
    busy, calm = rig.worker.lane(), rig.worker.lane()
    jobs = [busy.submit(rig.note(f"busy {n}")) for n in range(3)]
    jobs += [calm.submit(rig.note(f"calm {n}")) for n in range(2)]
    rig.go(*jobs)
    assert rig.log == ["busy 0", "calm 0", "busy 1", "calm 1", "busy 2"]
    rig.worker.close()


def test_an_answer_gives_way_to_one_short_job_of_another_at_a_time() -> None:
    rig = Rig()
    asker, watcher, other = (rig.worker.lane() for _ in range(3))

    def answer() -> None:
        for token in range(3):
            rig.log.append(f"token {token}")
            asker.give_way()
            asker.give_way()  # too soon after the last time
            rig.clock.advance_to(rig.clock.now_ns() + GIVE_WAY_NS)

    jobs = [asker.submit(answer), asker.submit(rig.note("my next"), short=True)]
    jobs += [watcher.submit(rig.note(f"frame {n}"), short=True) for n in range(2)]
    jobs += [other.submit(rig.note("long"))]
    rig.go(*jobs)
    assert rig.log[:5] == ["token 0", "frame 0", "token 1", "frame 1", "token 2"]
    assert sorted(rig.log[5:]) == ["long", "my next"]
    rig.worker.close()


def test_a_job_that_was_given_way_to_does_not_give_way_itself() -> None:
    rig = Rig()
    asker, watcher, third = (rig.worker.lane() for _ in range(3))

    def frame() -> None:
        watcher.give_way()
        rig.log.append("frame")

    def answer() -> None:
        asker.give_way()
        rig.log.append("answer")

    jobs = [asker.submit(answer), watcher.submit(frame, short=True)]
    jobs += [third.submit(rig.note("third"), short=True)]
    rig.go(*jobs)
    assert rig.log == ["frame", "answer", "third"]
    rig.worker.close()


def test_a_failing_job_is_told_and_the_next_one_runs() -> None:
    rig = Rig()
    lane = rig.worker.lane()
    bad, good = lane.submit(lambda: 1 // 0), lane.submit(lambda: 7)
    rig.gate.set()
    with pytest.raises(ZeroDivisionError):
        bad.result(10)
    assert good.result(10) == 7
    rig.worker.close()


def test_what_waits_is_cancelled_at_the_end() -> None:
    rig = Rig()
    lane, other = rig.worker.lane(), rig.worker.lane()
    dropped, kept = lane.submit(rig.note("dropped")), other.submit(rig.note("kept"))
    lane.close()
    rig.go(kept)
    with pytest.raises(CancelledError):
        dropped.result(10)
    rig.worker.close()
    with pytest.raises(CancelledError):
        other.submit(rig.note("late")).result(10)
    assert rig.log == ["kept"]
    assert rig.worker.join(10)
