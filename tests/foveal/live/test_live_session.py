"""One live session over doubles: masks, answers, speech, cameras that come and go."""

import asyncio
import threading

import numpy as np
import pytest

from devices.webrtc.tracks import SpeechTrack
from foveal.live.live_session import MAX_FAILURES, MAX_WAITING
from foveal.live.protocol.parts import PointedQuestion
from foveal.session.stages import Stages
from stream.clock import NS_PER_S
from stream.errors import PromptError
from stream.frame import Frame
from tests.doubles.devices import ToneSpeaker
from tests.foveal.live.live_rig import SAID, LiveRig, QueueSource, frame, make_stages, until


async def test_frames_become_regions_and_questions_answers() -> None:
    async with LiveRig() as rig:
        source = QueueSource()
        source.put(0, 100)
        watching = rig.live.watch(source)
        rig.live.ask(PointedQuestion(text="What is this?", point=(0.25, 0.3)))
        source.put(200)
        source.queue.put_nowait(None)
        await watching
        end = await rig.until("end")
        assert end["text"] == SAID
        assert [span["track_id"] for span in end["spans"]] == [1]
        assert end["searches"][0]["evidence"][0]["title"] == "Cup"
        assert end["timings_ms"]["turn"] >= end["timings_ms"]["waited"] >= 0
        asked = rig.of("asked")[0]
        assert (asked["turn"], asked["point"], asked["origin"]) == (1, [0.25, 0.3], "text")
        kinds = [kind for kind, data in rig.told if data.get("turn") == 1]
        assert kinds[:3] == ["asked", "started", "token"]
        assert kinds.index("search") < kinds.index("evidence") < kinds.index("end")
        assert [data["on"] for data in rig.of("camera")] == [True, False]
        shown = rig.of("regions")
        assert [one["pts_ms"] for one in shown] == [0, 100, 200]
        assert all(one["regions"][0]["mask"] for one in shown)


async def test_a_second_camera_takes_over_and_stream_time_goes_on() -> None:
    async with LiveRig() as rig:
        first, second = QueueSource(), QueueSource()
        first.put(0, 40, 80)
        one = asyncio.create_task(rig.live.watch(first))
        await until(lambda: len(rig.of("regions")) == 3)
        second.put(0, 40)
        two = asyncio.create_task(rig.live.watch(second))
        await until(lambda: len(rig.of("regions")) == 5)
        first.put(120)
        assert await one  # it noticed, and let go
        assert rig.live.camera
        second.queue.put_nowait(None)
        assert not await two
        times = [data["pts_ms"] for data in rig.of("regions")]
        assert times == sorted(set(times)) and len(times) == 5
        assert not rig.live.camera


async def test_a_question_while_the_camera_pauses_is_about_the_last_frame() -> None:
    async with LiveRig() as rig:
        rig.live.ask("Too early?")
        refused = await rig.until("refused")
        assert "no picture has come yet" in refused["reason"]
        source = QueueSource()
        source.put(0)
        source.queue.put_nowait(None)
        await rig.live.watch(source)
        rig.live.ask("What was that?")
        end = await rig.until("end")
        assert (end["turn"], end["text"], end["pts_ms"]) == (2, SAID, 0)


async def test_too_many_questions_are_refused() -> None:
    async with LiveRig() as rig:
        for n in range(MAX_WAITING):
            rig.live.ask(f"{n}?")
        with pytest.raises(PromptError, match="waiting"):
            rig.live.ask("one more?")


async def test_answers_are_spoken_and_a_new_question_cuts_them_off() -> None:
    speaker = ToneSpeaker(samples_per_char=100)
    async with LiveRig(speaker=speaker) as rig:
        track = SpeechTrack(rig.clock)
        assert rig.live.voice is not None
        rig.live.voice.attach(track)
        source = QueueSource()
        source.put(0)
        source.queue.put_nowait(None)
        await rig.live.watch(source)
        rig.live.ask("What is this?")
        first = await rig.until("speech")
        assert first["turn"] == 1 and first["first_ms"] > 0
        await rig.until("speech", 2)
        assert speaker.spoken == ["A cup.", "It is a small vessel."]
        heard = [await track.recv() for _ in range(3)]
        assert np.abs(np.concatenate([one.to_ndarray()[0] for one in heard])).max() > 1000
        assert rig.of("spoken") == []  # it is being said
        rig.live.ask("And that?")
        assert track.queued == 0
        rig.live.voice.detach(track)
        await rig.until("end", 2)
        assert len(rig.of("speech")) == 2  # nobody listens any more
        assert rig.of("spoken") == []  # the first was cut off, the second heard by nobody
        assert not rig.live.voice.queued


async def test_an_answer_that_was_played_to_its_end_is_told() -> None:
    async with LiveRig(speaker=ToneSpeaker(samples_per_char=40)) as rig:
        assert rig.live.voice is not None
        track = SpeechTrack(rig.clock)
        rig.live.voice.attach(track)
        source = QueueSource()
        source.put(0)
        source.queue.put_nowait(None)
        await rig.live.watch(source)
        rig.live.ask("What is this?")
        await rig.until("speech", 2)
        while not rig.of("spoken"):
            assert track.queued or len(rig.of("speech")) == 2
            await track.recv()
        assert rig.of("spoken") == [{"turn": 1}]
        assert track.queued == 0


class TimedSource(QueueSource):
    """As a camera whose sender reports told its clock."""

    def capture_unix_ns(self, pts_ns: int) -> int | None:
        return None if pts_ns == 0 else 1_700_000_000 * NS_PER_S + pts_ns


async def test_masks_tell_when_the_camera_took_their_picture() -> None:
    async with LiveRig() as rig:
        source = TimedSource()
        source.put(0, 100)
        source.queue.put_nowait(None)
        await rig.live.watch(source)
        first, second = rig.of("regions")
        assert "captured_ms" not in first  # before the first report
        assert second["captured_ms"] == 1_700_000_000_100


class FreshSource(QueueSource):
    """As a camera's source: pictures that come while one waits for its turn can be had."""

    def __init__(self) -> None:
        super().__init__()
        self.fresh: list[Frame] = []

    def newer(self) -> Frame | None:
        return self.fresh.pop() if self.fresh else None


async def test_a_frame_that_waited_for_its_turn_gives_way_to_the_newest() -> None:
    async with LiveRig() as rig:
        source, turn = FreshSource(), threading.Event()
        watching = asyncio.create_task(rig.live.watch(source))
        source.put(0)
        await rig.until("regions")
        rig.worker.lane().submit(lambda: turn.wait(10))  # another session's turn
        source.put(100)
        await asyncio.sleep(0.05)
        source.fresh.append(frame(433))
        turn.set()
        await rig.until("regions", 2)
        source.put(500)
        await rig.until("regions", 3)
        times = [told["pts_ms"] for told in rig.of("regions")]
        assert [time - times[0] for time in times] == [0, 433, 500]
        assert (await rig.until("stats"))["dropped"] == {"superseded": 1}
        source.queue.put_nowait(None)
        await watching


async def test_a_frame_that_fails_is_told_and_a_model_that_always_fails_ends_the_camera() -> None:
    def broken() -> Stages:
        raise RuntimeError("no memory")

    async with LiveRig(broken) as rig:
        source = QueueSource()
        source.put(*range(0, 100 * MAX_FAILURES, 100))
        with pytest.raises(PromptError, match="every frame"):
            await rig.live.watch(source)
        assert len(rig.of("refused")) == MAX_FAILURES
        assert rig.of("refused")[0] == {"cause": "internal", "reason": "RuntimeError"}


async def test_forgetting_starts_again_at_zero() -> None:
    made: list[Stages] = []

    def make() -> Stages:
        made.append(make_stages())
        return made[-1]

    async with LiveRig(make) as rig:
        source = QueueSource()
        source.put(0, 100)
        watching = asyncio.create_task(rig.live.watch(source))
        await until(lambda: len(rig.of("regions")) == 2)
        rig.live.renew()
        source.put(200, 300)
        await until(lambda: len(rig.of("regions")) == 4)
        assert [data["pts_ms"] for data in rig.of("regions")] == [0, 100, 0, 100]
        assert len(rig.of("forgot")) == 1 and len(made) == 2
        source.queue.put_nowait(None)
        await watching
        rig.live.renew()  # also while no camera runs
        await until(lambda: len(made) == 3)
