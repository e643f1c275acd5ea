"""Standing questions in a live session: asked, told and spoken, listed and ended by messages."""

import asyncio
from typing import cast

import pytest

from foveal.live.protocol.client import ListWatchesMessage, UnwatchMessage, parse
from foveal.session.stages import Stages
from foveal.session.standing import StandingQuestions
from foveal.session.watch_book import WatchBook
from perception.detect.coco import EVERYDAY
from perception.detect.detector import Detection
from tests.doubles.devices import ToneSpeaker
from tests.doubles.perception import FakeScene
from tests.foveal.live.live_rig import LiveRig, QueueSource, make_stages, until, validators

LABEL = {names[0]: number for number, names in enumerate(EVERYDAY)}["cup"]
CUP_SEEN = Detection(LABEL, 0.9, (40, 40, 120, 120))


def standing(book: WatchBook) -> LiveRig:
    def make() -> Stages:
        stages = make_stages()
        cast(FakeScene, stages.reader).detections = (CUP_SEEN,)
        return stages

    def of(stages: Stages) -> StandingQuestions:
        return StandingQuestions(stages.reader.spotter(), None, book, "me")

    return LiveRig(make, ToneSpeaker(samples_per_char=400), standing=of)


async def test_what_was_asked_for_is_told_and_spoken_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    book, said = WatchBook(), list[str]()
    async with standing(book) as rig:
        monkeypatch.setattr(rig.live.voice, "notice", said.append)  # behind the answer's sound
        source = QueueSource()
        source.put(0)
        watching = asyncio.create_task(rig.live.watch(source))
        await rig.until("regions")
        rig.live.ask("Tell me when you see a cup.")
        source.put(100)
        assert (await rig.until("end"))["text"] == "I will tell you when I see a cup."
        listed = await rig.until("watches")
        assert [one["asked"] for one in listed["watches"]] == ["Tell me when you see a cup."]
        source.put(3000, 4000, 5000, 6000)
        alert = await rig.until("alert")
        assert alert["text"].startswith("I see a cup") and alert["done"]
        assert alert["region"]["track_id"] == 1 and max(alert["region"]["mask"]["size"]) <= 192
        assert not (await rig.until("watches", 2))["watches"] and book.of("me") == ()
        await rig.until("regions", 6)
        assert len(rig.of("alert")) == 1
        await until(lambda: said == [alert["text"]])
        for kind in ("alert", "watches"):
            for data in rig.of(kind):
                validators()["server"].validate({"v": 1, "type": kind, "seq": 1, **data})
        source.queue.put_nowait(None)
        await watching


async def test_they_are_listed_before_a_frame_and_ended_by_messages() -> None:
    async with standing(WatchBook()) as rig:
        rig.live.tell_watches()
        assert await rig.until("watches") == {"watches": []}
        source = QueueSource()
        source.put(0)
        watching = asyncio.create_task(rig.live.watch(source))
        await rig.until("regions")
        for number, name in enumerate(("dog", "cat", "bus")):
            rig.live.ask(f"Tell me when you see a {name}")
            source.put(100 * (number + 1))
            await rig.until("watches", number + 2)
        first = rig.of("watches")[-1]["watches"][0]["id"]
        rig.live.unwatch(first)
        assert [one["things"] for one in (await rig.until("watches", 5))["watches"]] == [
            ["cat"],
            ["bus"],
        ]
        rig.live.unwatch(12345)
        assert len((await rig.until("watches", 6))["watches"]) == 2
        rig.live.unwatch(None)
        assert (await rig.until("watches", 7))["watches"] == []
        source.queue.put_nowait(None)
        await watching


async def test_without_standing_questions_the_model_answers() -> None:
    async with LiveRig() as rig:
        rig.live.tell_watches()
        assert await rig.until("watches") == {"watches": []}
        source = QueueSource()
        source.put(0)
        watching = asyncio.create_task(rig.live.watch(source))
        await rig.until("regions")
        rig.live.ask("Tell me when you see a cup.")
        source.put(100)
        assert (await rig.until("end"))["model"] != "standing questions"
        source.queue.put_nowait(None)
        await watching


def test_client_messages() -> None:
    assert isinstance(parse('{"v": 1, "type": "watches"}'), ListWatchesMessage)
    assert parse('{"v": 1, "type": "unwatch", "id": 3}') == UnwatchMessage(v=1, id=3)
    assert parse('{"v": 1, "type": "unwatch"}') == UnwatchMessage(v=1)
