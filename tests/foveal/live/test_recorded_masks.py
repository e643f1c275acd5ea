"""A recording whose answers came late replays to the same answers and to the same masks."""

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import cv2
import pytest

from foveal.config.schema import SessionConfig
from foveal.live.protocol.parts import PointedQuestion
from foveal.live.protocol.wire import regions_message
from foveal.live.recording import ANSWERS, CLIP, MESSAGES, QUESTIONS, FileRecording
from foveal.output.answer_records import answer_record, read_answers, read_questions
from foveal.session.masklets import LiveMasklets
from foveal.session.pipeline import Session
from foveal.session.stages import Stages
from perception.features.backbone import Backbone
from perception.scene.reader import SceneReader
from perception.tracking.renewal import Renewer
from perception.tracking.tracker import EmbeddedTracker
from reasoning.generation.conversation import Assistant
from reasoning.generation.decoding import SearchDecoder
from stream.clock import NS_PER_MS, VirtualClock
from stream.events import Answer, AnswerEvent, Region
from stream.frame import Frame, Keyframe
from stream.keyframes.selector import KeyframeSelector
from stream.sources.open import open_source
from stream.sources.playback import PlaybackOptions
from stream.timing.trace import Tracer
from tests.doubles.perception import FakeScene, thing
from tests.doubles.reasoning import Mention, ScriptedLMM, ScriptedSearcher, ScriptPiece
from tests.foveal.live.live_rig import LiveRig, QueueSource, until
from tests.foveal.live.test_answers_beside import SteppedLMM
from tests.perception.rendered import SIZE, cat, compose, face

STEP_MS = 60
FACE = thing((34, 39, 86, 105), "face", size=SIZE)
CAT = thing((167, 63, 233, 117), "cat", size=SIZE)
TURNS: tuple[list[ScriptPiece], ...] = (
    ["It is ", Mention("a face", FACE), "."],
    ["And ", Mention("a cat", CAT), "."],
)


def picture(n: int) -> Frame:
    """A face and a cat that drift over a table; sizes that H.264 takes."""
    frame, _ = compose((face(), cat()), ((60 + 2.0 * n, 72), (200 - n, 90)), 0, shift=n // 4)
    return Frame(STEP_MS * n * NS_PER_MS, 0, frame.image, "test")


def stages(backbone: Backbone, lmm: ScriptedLMM, renewer: Renewer | None) -> Stages:
    """Real tracking of what a script names."""
    decoder = SearchDecoder(ScriptedSearcher(), clock=VirtualClock())
    return Stages(
        KeyframeSelector(),
        backbone,
        LiveMasklets(EmbeddedTracker(backbone, renewer=renewer), 3),
        cast(SceneReader, FakeScene([FACE, CAT])),
        Assistant(lmm, decoder),
        Tracer(),
    )


@dataclass(slots=True)
class MaskSink:
    """Keeps what each frame showed."""

    shown: dict[int, Any] = field(default_factory=dict)  # by ms of stream time
    answers: list[Answer] = field(default_factory=list)

    def frame(self, frame: Frame, regions: tuple[Region, ...], keyframe: Keyframe | None) -> None:
        self.shown[frame.pts_ns // NS_PER_MS] = regions_message(regions, frame, 0).data()["regions"]

    def event(self, event: AnswerEvent) -> None:
        """Not kept."""

    def answer(self, answer: Answer, frame: Frame, regions: tuple[Region, ...]) -> None:
        self.answers.append(answer)


async def record(folder: Path, backbone: Backbone, renewer: Renewer | None) -> None:
    """Two questions, each answered some frames late, one of them in a pause of the camera."""
    lmm = SteppedLMM(*TURNS)
    async with LiveRig(lambda: stages(backbone, lmm, renewer)) as rig:
        source = QueueSource()
        rig.live.renew(FileRecording(folder, 60.0))
        task = asyncio.create_task(rig.live.watch(source))

        async def show(*numbers: int) -> None:
            for n in numbers:
                count = len(rig.of("regions"))
                source.queue.put_nowait(picture(n))
                await rig.until("regions", count + 1)

        await show(*range(4))
        rig.live.ask(PointedQuestion(text="What is this?"))
        await show(4)
        await rig.until("started")
        await show(*range(5, 14))
        lmm.let.release(4)
        await rig.until("end")
        await show(*range(14, 18))
        rig.live.ask("And what else?")
        await show(18)
        await rig.until("started", 2)
        await show(*range(19, 22))
        lmm.let.release(4)
        await rig.until("end", 2)
        await show(*range(22, 34))
        rig.live.stop_recording("asked for")
        await until(lambda: not rig.of("recording")[-1]["on"])
        source.queue.put_nowait(None)
        await task


@pytest.fixture
def renewer() -> Renewer | None:
    """The small SAM's, where it was pulled."""
    from foveal.setup.trackers import load_renewer

    cv2.setNumThreads(1)
    return load_renewer()


async def test_masks_of_late_answers_replay_to_the_pixel(
    tmp_path: Path, trained_backbone: Backbone, renewer: Renewer | None
) -> None:
    folder = tmp_path / "one"
    await record(folder, trained_backbone, renewer)
    rows = [json.loads(line) for line in (folder / QUESTIONS).read_text().splitlines()]
    assert all(row["applied"] > row["at"] for row in rows) and len(rows) == 2
    sink = MaskSink()
    recording = open_source(folder / CLIP, VirtualClock(), PlaybackOptions(rate=0.0))
    session = Session(stages(trained_backbone, ScriptedLMM(*TURNS), renewer), sink, SessionConfig())
    state = await session.run(recording, read_questions(folder / QUESTIONS))
    again = [answer_record(answer, timed=False) for answer in sink.answers]
    assert [answer_record(one, timed=False) for one in read_answers(folder / ANSWERS)] == again
    assert state.asked == [] and state.held == []
    events = [json.loads(line) for line in (folder / MESSAGES).read_text().splitlines()]
    live = {row["pts_ms"]: row["regions"] for row in events if row["type"] == "regions"}
    assert live.keys() == sink.shown.keys() and len(live) == 34
    assert len(live[33 * STEP_MS]) == 2
    for pts_ms, regions in live.items():
        assert regions == sink.shown[pts_ms], pts_ms
