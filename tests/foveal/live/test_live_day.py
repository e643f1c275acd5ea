"""Twenty-four hours of a wearer on a clock that a test moves: answers come, nothing piles up."""

import asyncio
import gc
import heapq
import itertools
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from foveal.config.schema import SessionConfig
from foveal.live.live_session import LiveSession
from foveal.live.message_log import SessionLog
from foveal.live.parts import LiveParts
from foveal.live.registry import Rooms
from foveal.live.room import Room, RoomLimits
from foveal.live.threads.answer_threads import AnswerThreads
from foveal.live.threads.worker import FairWorker
from stream.clock import NS_PER_MS, NS_PER_S
from tests.foveal.live.live_rig import HELLO, SAID, QueueSource, make_stages, until

HOURS, PERIOD_S = 24, 600
FRAMES, FRAME_MS = 3, 200  # of one look around; then the camera rests
LOST = 36  # every six hours the connection breaks in the middle of an answer
BURSTS = HOURS * 3600 // PERIOD_S


class SteppedClock:
    """Time stands still until `advance_to` moves it, and wakes who waits for it."""

    def __init__(self) -> None:
        self._now_ns = 0
        self._order = itertools.count()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []

    def now_ns(self) -> int:
        return self._now_ns

    async def sleep_until(self, deadline_ns: int) -> None:
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (deadline_ns, next(self._order), future))
        await future

    def advance_to(self, deadline_ns: int) -> None:
        self._now_ns = max(self._now_ns, deadline_ns)
        while self._waiting and self._waiting[0][0] <= self._now_ns:
            future = heapq.heappop(self._waiting)[2]
            if not future.done():
                future.set_result(None)


class Wearer:
    """A client: keeps the numbered messages' numbers, counts the rest, notes the answers."""

    def __init__(self) -> None:
        self.seq = self.regions = self.answers = self.said = 0
        self.gaps = 0

    def hear(self, message: dict[str, Any]) -> None:
        if message["type"] == "hello":
            return  # its number is the last one that was given out
        if "seq" in message:
            self.gaps += message["seq"] != self.seq + 1
            self.seq = message["seq"]
        self.regions += message["type"] == "regions"
        if message["type"] == "end":
            self.answers += 1
            self.said += message["text"] == SAID


def forget_notes(stages: Any) -> None:
    """The doubles note whatever they were asked: that is theirs, not the session's."""
    stages.reader.reads.clear()
    stages.assistant._lmm.states.clear()
    stages.assistant._decoder._searcher.queries.clear()


def counts() -> tuple[int, int, int, int]:
    """(allocated blocks, tasks, threads, descriptors)."""
    gc.collect()
    descriptors = len(list(Path("/proc/self/fd").iterdir())) if os.name == "posix" else 0
    tasks = len(asyncio.all_tasks())
    return sys.getallocatedblocks(), tasks, threading.active_count(), descriptors


async def test_a_day_of_a_wearer_loses_no_answer_and_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "foveal.live.room.SessionLog", lambda: SessionLog(300)
    )  # full after an hour
    clock = SteppedClock()
    worker, pool = FairWorker(), ThreadPoolExecutor(1)
    limits = RoomLimits(max_session_s=25 * 3600.0, idle_s=1200.0)

    stages = make_stages()

    def make() -> Room:
        def live(tell: Any) -> LiveSession:
            lane, answers = worker.lane(), AnswerThreads(clock)
            parts = LiveParts(lambda: stages, lane, answers, pool, pool, SessionConfig())
            return LiveSession(parts, tell, clock)

        return Room(live, None, limits, clock, lambda *_: None)

    rooms = Rooms(limits, clock, make)
    room, wearer = rooms.admit(), Wearer()
    link = room.attach(wearer.hear, None, HELLO)
    source = QueueSource()
    camera = asyncio.create_task(room.live.watch(source))
    before = (0, 0, 0, 0)
    for burst in range(BURSTS):
        seen = wearer.regions
        lost = burst % LOST == LOST - 1
        for index in range(FRAMES):
            at_ms = burst * PERIOD_S * 1000 + index * FRAME_MS
            clock.advance_to(at_ms * NS_PER_MS)
            if index == 1:
                room.ask("What is this?")
                if lost:  # the glasses lose their network, camera and all
                    room.detach(link)
                    source.queue.put_nowait(None)
                    await camera
                    source = QueueSource()
                    camera = asyncio.create_task(room.live.watch(source))
            source.put(at_ms if not lost else index * FRAME_MS)
            wanted = seen + index + 1
            if not lost or index < 1:
                await until(lambda wanted=wanted: wearer.regions >= wanted)  # type: ignore[misc]
        if lost:
            # It is answered to nobody; a leap of the clock meanwhile would be a model that hangs.
            await until(lambda: room.live.waiting == 0)
            clock.advance_to(clock.now_ns() + 60 * NS_PER_S)
            await rooms.sweep()
            assert rooms.admit(room.id) is room  # it comes back to its conversation
            link = room.attach(wearer.hear, wearer.seq, HELLO)
        await until(lambda done=burst + 1: wearer.answers == done)  # type: ignore[misc]
        await rooms.sweep()
        forget_notes(stages)
        if burst == BURSTS // 4:
            before = counts()
    growth = [now - then for now, then in zip(counts(), before, strict=True)]
    assert wearer.said == wearer.answers == BURSTS
    assert wearer.gaps == 0
    assert growth[0] < 1000  # blocks, over 108 answers with a dozen messages each
    assert growth[1:] == [0, 0, 0]
    source.queue.put_nowait(None)
    await camera
    await room.close("the day is over")
    worker.close()
    pool.shutdown()
