"""A live session that remembers: the wearer is told, may stop it, and has it forgotten."""

import asyncio
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from foveal.live.access import Access
from foveal.live.guest_ear import GuestEar
from foveal.live.memory.forget_request import forget_request
from foveal.live.memory.live_memory import LiveMemory
from foveal.live.room import Room, RoomLimits
from foveal.session.memory.beside import Beside
from foveal.session.memory.recalling import Recalling
from foveal.session.memory.remember import Rememberer
from retrieval.memory.disk.writer import MemoryWriter
from retrieval.memory.searcher import MemorySearcher
from stream.clock import NS_PER_S, MonotonicClock, UnixClock
from stream.errors import MemoryFileError
from stream.events import Query
from tests.doubles.devices import ToneSpeaker
from tests.doubles.memory import PlainImpressions
from tests.foveal.live.live_rig import LiveRig, QueueSource, until

NOW = 1_700_000_000 * NS_PER_S


def open_memory(path: Path) -> Rememberer:
    writer = MemoryWriter(path, MonotonicClock())
    return Rememberer(writer, PlainImpressions(), Beside("test"), patience_s=20)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Rememberer]:
    made = open_memory(tmp_path / "day.memory")
    yield made
    made.close()


def seen(memory: Rememberer, words: str) -> list[str]:
    """What the memory finds."""
    searcher = MemorySearcher(memory.writer.path, UnixClock(), under_way=memory.under_way)
    recalling = Recalling(searcher, UnixClock(), memory.settle)
    found = [one.id for one in recalling.search(Query("text", words))]
    recalling.close()
    return found


async def ask_about_a_cup(rig: LiveRig) -> None:
    """The scripted answer names a cup, which becomes a masklet of that name."""
    source = QueueSource()
    watching = asyncio.create_task(rig.live.watch(source))
    rig.live.ask("What is this?")
    for number in range(6):
        source.put(100 * number)
        await until(partial(_shown, rig, number + 1))
    await rig.until("end")
    source.put(700)
    await until(lambda: len(rig.of("regions")) >= 7)
    source.queue.put_nowait(None)
    await watching


def _shown(rig: LiveRig, frames: int) -> bool:
    return len(rig.of("regions")) >= frames


async def test_the_wearer_is_told_and_the_memory_survives_the_session(
    memory: Rememberer, tmp_path: Path
) -> None:
    speaker = ToneSpeaker(samples_per_char=1)
    async with LiveRig(speaker=speaker, memory=LiveMemory(memory, UnixClock())) as rig:
        await ask_about_a_cup(rig)
        assert rig.of("memory") == [{"on": True}]
        assert rig.live.remembered
        rig.live.renew()
        await rig.until("memory", 2)
        assert seen(memory, "cup")
    assert not rig.live.remembered
    memory.close()
    again = open_memory(tmp_path / "day.memory")  # the server is started again
    assert seen(again, "cup")
    again.close()


async def test_a_session_of_others_is_neither_remembered_nor_told_of(memory: Rememberer) -> None:
    guest = LiveMemory(memory, UnixClock(), lambda: False)
    async with LiveRig(memory=guest) as rig:
        await ask_about_a_cup(rig)
        assert rig.of("memory") == []
        room = room_of(rig)
        replies = receive(room, {"type": "forget", "last_s": 0})
        assert "owner" in str(replies[0]["reason"])
    assert seen(memory, "cup") == []


def room_of(rig: LiveRig) -> Room:
    return Room(lambda _: rig.live, None, RoomLimits(), rig.clock, lambda _, kind, data: None)


def receive(room: Room, message: dict[str, object], *rights: str) -> list[dict[str, object]]:
    replies: list[dict[str, object]] = []
    access = Access(rights or ("ask", "manage", "record"))  # type: ignore[arg-type]
    room.receive(json.dumps({"v": 1, **message}), replies.append, access=access)
    return replies


async def test_to_forget_everything_leaves_nothing_and_starts_anew(memory: Rememberer) -> None:
    async with LiveRig(memory=LiveMemory(memory, UnixClock())) as rig:
        await ask_about_a_cup(rig)
        assert receive(room_of(rig), {"type": "forget", "last_s": 0}) == []
        await until(lambda: any("events" in one for one in rig.of("forgot")))
        assert seen(memory, "cup") == []
        for file in memory.writer.path.parent.glob("day.memory*"):
            assert b"cup" not in file.read_bytes()


@pytest.mark.parametrize("how", ["voice", "text"])
async def test_a_wish_to_forget_is_no_question(memory: Rememberer, how: str) -> None:
    async with LiveRig(memory=LiveMemory(memory, UnixClock())) as rig:
        await ask_about_a_cup(rig)
        room, wish = room_of(rig), "Please forget the last five minutes."
        if how == "voice":
            room.asked(wish)
        else:
            receive(room, {"type": "ask", "text": wish})
        await until(lambda: any("events" in one for one in rig.of("forgot")))
        assert len(rig.of("asked")) == 1
        assert seen(memory, "cup") == []


async def test_who_may_only_ask_makes_nothing_forgotten(memory: Rememberer) -> None:
    async with LiveRig(memory=LiveMemory(memory, UnixClock())) as rig:
        await ask_about_a_cup(rig)
        room = room_of(rig)
        (reply,) = receive(room, {"type": "ask", "text": "Forget everything."}, "ask")
        assert "manage" in str(reply["reason"])
        GuestEar(room).asked("Forget everything.")
        await rig.until("asked", 2)
        assert not any("events" in one for one in rig.of("forgot"))


async def test_remembering_stops_when_the_wearer_wants_it(memory: Rememberer) -> None:
    async with LiveRig(memory=LiveMemory(memory, UnixClock())) as rig:
        await ask_about_a_cup(rig)
        receive(room_of(rig), {"type": "remember", "on": False})
        assert rig.of("memory")[-1] == {"on": False}
        assert not rig.live.remembered


async def test_a_disk_that_is_full_is_told_once_and_the_session_goes_on(
    memory: Rememberer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise MemoryFileError("expected room on the disk, got none")

    async with LiveRig(memory=LiveMemory(memory, UnixClock())) as rig:
        monkeypatch.setattr(memory.writer, "_count", full)
        await ask_about_a_cup(rig)  # what was said is written at once
        await until(lambda: memory.writer.status.paused)
        source = QueueSource()
        watching = asyncio.create_task(rig.live.watch(source))
        for number in range(3):  # a keyframe every ten seconds
            source.put(11_000 * number)
            await until(partial(_shown, rig, 8 + number))
        source.queue.put_nowait(None)
        await watching
        assert [one["cause"] for one in rig.of("refused")] == ["memory"]
        monkeypatch.undo()


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("Forget the last five minutes.", 5),
        ("please forget the last ten minutes", 10),
        ("Hey foveal, delete the past hour", 60),
        ("could you erase the last 2 hours please?", 120),
    ],
)
def test_spans_that_are_forgotten(text: str, minutes: int) -> None:
    assert forget_request(text, NOW) == NOW - minutes * 60 * NS_PER_S


@pytest.mark.parametrize("text", ["Forget everything!", "forget it all", "Please wipe the memory"])
def test_everything_is_forgotten(text: str) -> None:
    assert forget_request(text, NOW) == 0


@pytest.mark.parametrize(
    "text",
    ["Did I forget my keys?", "What did I forget?", "forget the last blorp", "forget that", ""],
)
def test_what_is_no_wish_to_forget(text: str) -> None:
    assert forget_request(text, NOW) is None
