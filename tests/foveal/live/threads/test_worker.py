"""One thread, many sessions: turns, closing."""

import threading
from concurrent.futures import CancelledError, Future
from typing import Any

import pytest

from foveal.live.threads.worker import FairWorker


class Rig:
    """A worker that stands still until `go`."""

    def __init__(self) -> None:
        self.worker = FairWorker()
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
