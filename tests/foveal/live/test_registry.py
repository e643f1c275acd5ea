"""Who may start a session or come back to one, and when sessions end."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import pytest_asyncio

from devices.http.problems import Problem
from foveal.live.live_session import LiveSession
from foveal.live.message_log import Message
from foveal.live.parts import LiveParts
from foveal.live.protocol.server import CameraMessage
from foveal.live.registry import Rooms
from foveal.live.room import MAX_LINKS, Room, RoomLimits
from foveal.live.threads.answer_threads import AnswerThreads
from foveal.live.threads.worker import FairWorker
from stream.clock import NS_PER_S, MonotonicClock
from tests.foveal.live.live_rig import HELLO, QueueSource, make_stages, until


class MovedClock(MonotonicClock):
    """Real time that a test can push ahead."""

    shift_ns = 0

    def now_ns(self) -> int:
        return super().now_ns() + self.shift_ns


class House:
    """Rooms over doubles."""

    def __init__(self, **limits: Any) -> None:
        self.clock = MovedClock()
        self.worker = FairWorker()
        self.pool = ThreadPoolExecutor(1)
        self.limits = RoomLimits(**limits)
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.rooms = Rooms(self.limits, self.clock, self.make)
        self.start_recording: Any = None

    def make(self) -> Room:
        def live(tell: Any) -> LiveSession:
            threads = AnswerThreads(self.clock)
            parts = LiveParts(make_stages, self.worker.lane(), threads, self.pool, self.pool)
            return LiveSession(parts, tell, self.clock)

        def watch(_: str, kind: str, data: dict[str, Any]) -> None:
            self.told.append((kind, data))

        return Room(live, self.start_recording, self.limits, self.clock, watch)

    def enter(self) -> tuple[Room, Any, list[Message]]:
        """A new session with one client."""
        room, heard = self.rooms.admit(), list[Message]()
        return room, room.attach(heard.append, None, HELLO), heard

    async def wait(self, seconds: float) -> None:
        self.clock.shift_ns += round(seconds * NS_PER_S)
        await self.rooms.sweep()


@pytest_asyncio.fixture
async def house() -> Any:
    made: list[House] = []

    def make(**limits: Any) -> House:
        made.append(House(**limits))
        return made[-1]

    yield make
    for one in made:
        await one.rooms.close("test ended")
        one.worker.close()
        one.pool.shutdown()


async def test_a_full_house_says_when_to_come_back(house: Any) -> None:
    one = house(max_sessions=2, retry_after_s=7)
    first, link, _ = one.enter()
    one.enter()
    with pytest.raises(Problem) as refused:
        one.rooms.admit()
    assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "7"})
    assert one.rooms.admit(first.id) is first  # another connection of a session that is here
    first.detach(link)
    assert not one.rooms.full
    one.enter()
    with pytest.raises(Problem):
        one.rooms.admit(first.id)  # its place is taken


async def test_a_client_comes_back_to_its_conversation(house: Any) -> None:
    one = house(resume_s=60)
    room, link, heard = one.enter()
    room.tell(CameraMessage(on=True))
    room.detach(link)
    room.tell(CameraMessage(on=False))
    await one.wait(59)
    assert one.rooms.admit(room.id) is room
    again: list[Message] = []
    link = room.attach(again.append, heard[-1]["seq"], HELLO)
    assert again[0] == {
        "type": "hello",
        "conversation": room.id,
        "seq": 2,
        "missed": 0,
        "camera": False,
        "recorded": False,
        "remembered": False,
        "may": ["view", "ask", "publish", "record", "manage"],
        **HELLO,
    }
    assert [message["type"] for message in again] == ["hello", "camera"]
    room.detach(link)
    await one.wait(61)
    assert room.closed.is_set()
    assert one.rooms.admit(room.id) is not room


async def test_sessions_end_when_idle_or_too_long(house: Any) -> None:
    one = house(idle_s=10, max_session_s=100)
    room, _, heard = one.enter()
    for n in range(9):
        await one.wait(9)
        room.receive(f'{{"v":1,"type":"ping","n":{n}}}', heard.append)
    assert heard[-1] == {"type": "pong", "n": 8}
    idle, _, idle_heard = one.enter()
    await one.wait(9.9)
    room.receive('{"v":1,"type":"stop"}', heard.append)
    await one.wait(0.5)
    assert idle.closed.is_set() and not room.closed.is_set()
    assert "nothing happened" in idle_heard[-1]["reason"]
    room.receive('{"v":1,"type":"stop"}', heard.append)
    await one.wait(9)
    assert room.closed.is_set()
    assert heard[-1]["type"] == "bye" and "longest" in heard[-1]["reason"]


async def test_only_a_few_sessions_wait_for_somebody_to_come_back(house: Any) -> None:
    one = house(max_parked=2)
    rooms = []
    for _ in range(4):
        room, link, _ = one.enter()
        room.detach(link)
        rooms.append(room)
    await one.wait(1)
    assert [room.closed.is_set() for room in rooms] == [True, True, False, False]


async def test_clients_that_ask_too_much_are_told_so(house: Any) -> None:
    one = house(question_burst=2, message_burst=5, messages_per_s=1.0)
    room, _, heard = one.enter()
    for n in range(4):
        room.receive(f'{{"v":1,"type":"ask","text":"What is {n}?"}}', heard.append)
    errors = [message["reason"] for message in heard if message["type"] == "error"]
    assert len(errors) == 2 and "fewer questions" in errors[0]
    room.receive("nonsense", heard.append)
    room.receive('{"v":1,"type":"stop"}', heard.append)
    assert "fewer messages" in heard[-1]["reason"]


async def test_what_a_server_cannot_do_is_told(house: Any) -> None:
    one = house()
    room, _, heard = one.enter()
    room.receive('{"v":1,"type":"record","on":true}', heard.append)
    assert "recording is off" in heard[-1]["reason"]
    room.receive('{"v":1,"type":"talk","on":true}', heard.append)
    assert "nobody listens" in heard[-1]["reason"]
    room.receive('{"v":1,"type":"device","battery":0.25}', heard.append)
    assert heard[-1] == {"type": "device", "battery": 0.25, "seq": 1}
    assert room.device == {"battery": 0.25}


async def test_a_session_has_so_many_clients(house: Any) -> None:
    one = house()
    room, _, _ = one.enter()
    for _ in range(MAX_LINKS - 1):
        room.attach(lambda _: None, None, HELLO)
    with pytest.raises(Problem) as refused:
        room.attach(lambda _: None, None, HELLO)
    assert refused.value.status == 503


async def test_at_shutdown_everybody_is_told_and_nobody_admitted(house: Any) -> None:
    one = house()
    _, _, heard = one.enter()
    await one.rooms.close("the server is shutting down")
    assert heard[-1] == {"type": "bye", "reason": "the server is shutting down", "seq": 1}
    with pytest.raises(Problem, match="shutting down"):
        one.rooms.admit()


class KeptRecording:
    """A recording that only remembers why it ended."""

    id = "r1"

    def __init__(self) -> None:
        self.ended: list[str] = []

    def frame(self, frame: Any) -> None: ...

    def question(self, question: Any) -> None: ...

    def message(self, message: Any, pts_ns: int) -> None: ...

    def answer(self, answer: Any) -> None: ...

    def close(self, reason: str) -> None:
        self.ended.append(reason)


async def record(house: House) -> tuple[Room, Any, list[Message], KeptRecording]:
    """A session that is being recorded, as its only client has asked."""
    kept = KeptRecording()
    house.start_recording = lambda: kept
    room, link, heard = house.enter()
    source = QueueSource()
    watching = asyncio.create_task(room.live.watch(source))
    source.put(0, 100)
    say(room, heard, on=True)
    await until(lambda: of(heard, "recording"))
    watching.cancel()
    return room, link, heard, kept


def say(room: Room, heard: list[Message], **record: bool) -> None:
    room.receive(json.dumps({"v": 1, "type": "record", **record}), heard.append)


def of(heard: list[Message], kind: str) -> list[Message]:
    return [message for message in heard if message["type"] == kind]


async def test_leave_to_record_expires_unless_it_is_given_again(house: Any) -> None:
    home = house(consent_s=300.0, idle_s=1e6)
    room, _, heard, kept = await record(home)
    assert of(heard, "recording")[0]["left_s"] in (299, 300)
    await home.wait(230)
    assert len(of(heard, "recording")) == 1
    await home.wait(20)
    await home.wait(1)
    assert [message["left_s"] <= 60 for message in of(heard, "recording")] == [False, True]
    say(room, heard, on=True, keep=True)
    assert of(heard, "recording")[-1]["left_s"] in (299, 300)
    await home.wait(200)
    assert kept.ended == []
    await home.wait(110)
    await until(lambda: kept.ended == ["nobody asked for it to go on"])
    await until(lambda: not of(heard, "recording")[-1]["on"])
    say(room, heard, on=True, keep=True)
    assert "nothing is recorded" in of(heard, "error")[0]["reason"]


async def test_a_recording_that_nobody_sees_ends(house: Any) -> None:
    home = house(consent_s=3000.0, idle_s=1e6)
    room, link, _, kept = await record(home)
    room.enter()  # its camera stays
    await home.wait(50)
    room.detach(link)
    await home.wait(50)
    again: list[Message] = []
    link = room.attach(again.append, None, HELLO)
    assert again[0]["recorded"]
    await home.wait(50)
    room.detach(link)
    await home.wait(50)
    assert kept.ended == []
    await home.wait(20)
    await until(lambda: kept.ended == ["nobody was there to see that it was recorded"])
