"""One session over doubles: when questions are answered, what fails alone, what is kept."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foveal.config.schema import SessionConfig
from foveal.session.masklets import LiveMasklets
from foveal.session.pipeline import READ_AHEAD_FRAMES, Session
from foveal.session.stages import Stages
from foveal.session.state import SessionState
from perception.features.backbone import Backbone, Features
from perception.scene.reader import GroundedRegion, SceneReader, SceneView
from perception.tracking.tracker import TrackerState
from reasoning.generation.conversation import Assistant
from reasoning.generation.decoding import SearchDecoder
from stream.clock import VirtualClock
from stream.errors import BadFrame, OutputError, SourceError
from stream.events import Answer, AnswerEvent, Question, Region
from stream.frame import Frame, Keyframe
from stream.keyframes.selector import KeyframeSelector
from stream.timing.trace import Tracer
from tests.doubles.perception import FakeBackbone, FakeScene, FakeTracker, thing
from tests.doubles.reasoning import Mention, ScriptedLMM, ScriptedSearcher

SIZE = (96, 128)
STEP_NS = 100
CUP = thing((8, 16, 40, 56), "cup")
DOG = thing((60, 16, 100, 56), "dog", 0.6)
BLUR = thing((0, 70, 20, 90), "blur", 0.1)


def frame(pts_ns: int) -> Frame:
    image = np.full((*SIZE, 3), 90, np.uint8)
    image[20:60, 30:70] = 200
    return Frame(pts_ns, pts_ns, image, "test")


@dataclass(slots=True)
class ListSource:
    """Frames from a list; then it ends, fails, or waits for ever."""

    frames_: Sequence[Frame]
    failure: Exception | None = None
    waits: bool = False
    given: int = 0

    async def frames(self) -> AsyncIterator[Frame]:
        for one in self.frames_:
            self.given += 1
            yield one
        if self.waits:
            await asyncio.Event().wait()
        if self.failure is not None:
            raise self.failure


@dataclass(slots=True)
class ListSink:
    """Keeps everything."""

    frames: list[tuple[int, tuple[Region, ...], Keyframe | None]] = field(default_factory=list)
    events: list[AnswerEvent] = field(default_factory=list)
    answers: list[tuple[Answer, int, tuple[Region, ...]]] = field(default_factory=list)

    def frame(self, frame: Frame, regions: tuple[Region, ...], keyframe: Keyframe | None) -> None:
        self.frames.append((frame.pts_ns, regions, keyframe))

    def event(self, event: AnswerEvent) -> None:
        self.events.append(event)

    def answer(self, answer: Answer, frame: Frame, regions: tuple[Region, ...]) -> None:
        self.answers.append((answer, frame.pts_ns, regions))

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]


class BlinkingTracker(FakeTracker):
    """Refuses the frames of some times."""

    def __init__(self, bad_ns: Iterable[int]) -> None:
        super().__init__()
        self._bad_ns = frozenset(bad_ns)

    def step(
        self, state: TrackerState, frame: Frame, features: Features | None = None
    ) -> tuple[TrackerState, tuple[Region, ...]]:
        if frame.pts_ns in self._bad_ns:
            raise BadFrame(f"expected a sharp frame, got the one at {frame.pts_ns}")
        return super().step(state, frame, features)


@dataclass(slots=True)
class Rig:
    """A session with its doubles."""

    sink: ListSink
    scene: FakeScene
    backbone: FakeBackbone
    tracker: FakeTracker
    session: Session

    def run(self, source: ListSource, questions: Sequence[Question] = ()) -> SessionState:
        return asyncio.run(self.session.run(source, questions))


def rig(
    lmm: ScriptedLMM | None = None,
    things: Sequence[GroundedRegion] = (),
    config: SessionConfig | None = None,
    tracker: FakeTracker | None = None,
    sink: ListSink | None = None,
) -> Rig:
    config = config or SessionConfig(seed_tracks=False)
    scene, backbone = FakeScene(things), FakeBackbone()
    tracker, sink = tracker or FakeTracker(), sink or ListSink()
    decoder = SearchDecoder(ScriptedSearcher(), clock=VirtualClock())
    stages = Stages(
        KeyframeSelector(),
        cast(Backbone, backbone),
        LiveMasklets(tracker, config.max_tracks),
        cast(SceneReader, scene),
        Assistant(lmm or ScriptedLMM(["Yes."]), decoder),
        Tracer(),
    )
    return Rig(sink, scene, backbone, tracker, Session(stages, sink, config))


def clip(count: int) -> ListSource:
    return ListSource([frame(n * STEP_NS) for n in range(count)])


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=6, unique=True).map(sorted),
    st.lists(st.integers(0, 40), max_size=5),
)
def test_a_question_is_answered_at_the_first_frame_at_or_after_it(
    times: list[int], asked: list[int]
) -> None:
    """Or on the last frame, when it comes after it."""
    made = rig()
    questions = [Question(f"q{n}?", at) for n, at in enumerate(asked)]
    state = made.run(ListSource([frame(at) for at in times]), questions)
    expected = [min([t for t in times if t >= at], default=times[-1]) for at in sorted(asked)]
    assert [at for _, at, _ in made.sink.answers] == expected
    # Questions of one time keep their order.
    ordered = [q.text for q in sorted(questions, key=lambda q: q.asked_ns)]
    assert [answer.question.text for answer, _, _ in made.sink.answers] == ordered
    assert state.late == sum(at > times[-1] for at in asked)
    assert (state.answered, state.frames) == (len(asked), len(times))
    assert [at for at, _, _ in made.sink.frames] == times


def test_a_question_that_fails_is_refused_and_the_others_go_on() -> None:
    made = rig(ScriptedLMM(["One."], ["</search>"], ["Three."]))
    questions = [Question(text, at) for text, at in (("a?", 0), ("b?", 0), ("c?", STEP_NS))]
    state = made.run(clip(3), questions)
    assert [answer.text for answer, _, _ in made.sink.answers] == ["One.", "Three."]
    assert state.refused == {"question": 1}
    (refused,) = [event for event in made.sink.events if event.kind == "refused"]
    assert refused.data["reason"].startswith("b?: expected")
    assert len(made.sink.frames) == 3


def test_a_bad_frame_is_left_out_and_its_question_waits() -> None:
    made = rig(
        ScriptedLMM([Mention("Cup", CUP)], ["Later."]),
        config=SessionConfig(seed_tracks=False),
        tracker=BlinkingTracker([2 * STEP_NS]),
    )
    state = made.run(clip(5), [Question("a?", 0), Question("b?", 2 * STEP_NS)])
    assert state.refused == {"bad frame": 1}
    assert [at for at, _, _ in made.sink.frames] == [0, 100, 300, 400]
    assert [(answer.text, at) for answer, at, _ in made.sink.answers] == [
        ("Cup", 0),
        ("Later.", 300),
    ]


def test_what_an_answer_names_lives_on_as_a_masklet() -> None:
    made = rig(ScriptedLMM(["A ", Mention("cup", CUP), " and a ", Mention("dog", DOG)]))
    made.run(clip(4), [Question("What?", STEP_NS)])
    ((answer, _, regions),) = made.sink.answers
    assert [span.region.track_id for span in answer.spans] == [1, 2]
    assert [region.track_id for region in regions] == [1, 2]
    assert [answer.text[s.start : s.end] for s in answer.spans] == ["cup", "dog"]
    shown = [[region.track_id for region in regions] for _, regions, _ in made.sink.frames]
    assert shown == [[], [1, 2], [1, 2], [1, 2]]


def test_the_same_thing_keeps_its_masklet() -> None:
    made = rig(ScriptedLMM([Mention("cup", CUP)]), [CUP])
    made.run(clip(4), [Question("a?", 0), Question("b?", 200)])
    ids = [span.region.track_id for answer, _, _ in made.sink.answers for span in answer.spans]
    assert ids == [1, 1]
    assert [box.track_id for box in made.scene.reads[1][1]] == [1]


def test_masklets_never_exceed_the_limit() -> None:
    turns = [[Mention("it", thing((8 * n, 8, 8 * n + 8, 30), "it"))] for n in range(8)]
    made = rig(ScriptedLMM(*turns), config=SessionConfig(max_tracks=2, seed_tracks=False))
    made.run(clip(8), [Question(f"{n}?", n * STEP_NS) for n in range(8)])
    assert len(made.tracker.masks) == 2
    assert list(made.tracker.masks) == [7, 8]
    assert len(made.sink.answers) == 8


def test_no_masklets_are_kept_with_a_limit_of_zero() -> None:
    made = rig(ScriptedLMM([Mention("cup", CUP)]), config=SessionConfig(max_tracks=0))
    state = made.run(clip(3), [Question("a?", 0)])
    assert state.refused == {} and made.tracker.masks == {}
    assert made.sink.answers[0][0].spans[0].region.track_id == 0


def test_a_keyframe_s_things_become_masklets_where_sure_and_where_there_is_room() -> None:
    made = rig(things=[BLUR, CUP, DOG], config=SessionConfig(max_tracks=1))
    state = made.run(clip(3))
    assert state.keyframe_count == 1
    assert [key is not None for _, _, key in made.sink.frames] == [True, False, False]
    assert [[r.track_id for r in regions] for _, regions, _ in made.sink.frames] == [[1]] * 3
    assert made.sink.kinds() == ["keyframe", "region"]
    assert made.sink.events[1].data["box"] == list(CUP.box)


def test_the_backbone_runs_only_where_it_is_needed() -> None:
    made = rig()
    made.run(clip(6))
    assert made.backbone.passes == 1  # the first keyframe
    made = rig()
    made.run(clip(6), [Question("a?", 250), Question("b?", 250)])
    assert made.backbone.passes == 2
    made = rig(ScriptedLMM([Mention("cup", CUP)]))
    made.run(clip(6), [Question("a?", 250)])
    assert made.backbone.passes == 4  # keyframe, question, two frames with a masklet


def test_keyframes_are_read_ahead_and_a_later_question_reads_no_scene() -> None:
    class Reading(ScriptedLMM):
        seen: list[SceneView]

        def read_view(self, view: SceneView, earlier: Sequence[SceneView] = ()) -> None:
            self.seen = [*getattr(self, "seen", []), view]

    lmm = Reading([Mention("cup", CUP)], ["Yes."])
    made = rig(lmm, [CUP], SessionConfig(max_tracks=1))
    made.run(clip(4), [Question("a?", 0), Question("b?", 200)])
    assert len(made.scene.reads) == len(lmm.seen) == 1  # the keyframe, once
    first, second = (state.prompt for state in lmm.states)
    assert first.seen is second.seen is first.view is lmm.seen[0]
    assert second.view.frame.pts_ns == 200 and second.view.whole == first.view.whole
    # A conversation that is forgotten is asked about cold.
    made.session._stages.assistant.forget()
    assert not made.session._stages.assistant._seen


def test_events_come_in_order() -> None:
    made = rig(ScriptedLMM(["A ", Mention("cup", CUP)]))
    made.run(clip(1), [Question("What?", 0)])
    assert made.sink.kinds() == ["keyframe", "question", "token", "token", "end", "region"]
    assert made.sink.events[-2].data == {"text": "A cup", "tokens": 3}


def test_a_source_without_frames_answers_nothing() -> None:
    made = rig()
    state = made.run(ListSource([]), [Question("a?", 0)])
    assert (state.frames, state.answered, state.late, state.last) == (0, 0, 1, None)
    assert made.sink.answers == [] and made.sink.events == []


def test_what_was_answered_before_the_source_broke_is_kept() -> None:
    made = rig()
    source = ListSource([frame(0), frame(100)], SourceError("the file ends here"))
    with pytest.raises(SourceError, match="ends here"):
        made.run(source, [Question("a?", 0), Question("b?", 900)])
    assert [answer.question.text for answer, _, _ in made.sink.answers] == ["a?"]
    assert len(made.sink.frames) == 2


async def test_cancelling_keeps_finished_answers_and_stops_the_reader() -> None:
    made = rig()
    source = ListSource([frame(0), frame(100)], waits=True)
    task = asyncio.create_task(made.session.run(source, [Question("a?", 0), Question("b?", 900)]))
    while len(made.sink.frames) < 2:
        await asyncio.sleep(0)
    before = asyncio.all_tasks()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0)
    assert [answer.question.text for answer, _, _ in made.sink.answers] == ["a?"]
    assert all(other.done() for other in before - {asyncio.current_task()})


async def test_a_sink_that_fails_ends_the_session_and_stops_the_reader() -> None:
    class FullSink(ListSink):
        def frame(
            self, frame: Frame, regions: tuple[Region, ...], keyframe: Keyframe | None
        ) -> None:
            raise OutputError("expected room on the disk, got none")

    made = rig(sink=FullSink())
    with pytest.raises(OutputError):
        await made.session.run(clip(50), [])
    for _ in range(3):  # asyncio closes the source's generator in a task of its own
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_reading_ahead_is_bounded() -> None:
    source = clip(40)

    class CountingSink(ListSink):
        lead = 0

        def frame(
            self, frame: Frame, regions: tuple[Region, ...], keyframe: Keyframe | None
        ) -> None:
            super().frame(frame, regions, keyframe)
            self.lead = max(self.lead, source.given - len(self.frames))

    sink = CountingSink()
    rig(sink=sink).run(source)
    assert len(sink.frames) == 40
    assert sink.lead <= READ_AHEAD_FRAMES + 2  # one in hand on each side


def test_masklets_carry_the_names_that_are_known() -> None:
    """A likely name from the start, what an answer says from then on, an unlikely one never."""
    things = [CUP, DOG, thing((60, 60, 100, 90), "blur", 0.4)]
    lmm = ScriptedLMM(["It is ", Mention("the red cup", CUP), "."])
    r = rig(lmm, things, SessionConfig(seed_tracks=True))
    r.run(ListSource([frame(i * STEP_NS) for i in range(4)]), [Question("What?", 2 * STEP_NS)])
    names = [[one.name for one in regions] for _, regions, _ in r.sink.frames]
    assert names == [["cup", "dog", ""]] * 2 + [["red cup", "dog", ""]] * 2
