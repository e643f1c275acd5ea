"""One session: frames in, keyframes, masklets and answers out.

A recording runs in two stages joined by a bounded channel that blocks, because a file never drops
a frame: while one frame is tracked and answered about, the next ones are decoded and looked at,
each stage in a thread of its own. Looking ahead changes nothing but the time it takes: a frame's
features depend on the frame alone, and are made when they are missed. One backbone pass per frame
serves keyframe scenes, tracking and grounding, and is skipped where nobody needs it.
"""

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from functools import partial
from typing import TypeVar

from foveal.config.schema import SessionConfig
from foveal.session.answering import Answering
from foveal.session.stages import SessionSink, Stages, region_event
from foveal.session.standing import StandingQuestions
from foveal.session.state import SessionState
from foveal.session.watching import Watching
from perception.features.backbone import Features
from perception.scene.reader import GroundedRegion
from stream.channel import Channel, OverflowPolicy
from stream.errors import BadFrame, ChannelClosed, FovealError
from stream.events import AnswerEvent, Question, Region
from stream.frame import Frame, FrameSource, Keyframe

READ_AHEAD_FRAMES = 4

T = TypeVar("T")

Aside = Callable[[Callable[[], None]], None]
_Seen = tuple[Frame, Features | None]  # what the first stage hands to the second


class Session:
    """Runs one source to its end (or until cancelled)."""

    def __init__(
        self,
        stages: Stages,
        sink: SessionSink,
        config: SessionConfig,
        aside: Aside | None = None,
        standing: StandingQuestions | None = None,
    ) -> None:
        """`aside` runs what need not be done before the next frame; at once, unless given.

        Without `standing`, what is to be told later is a question like any other.
        """
        self._stages = stages
        self._sink = sink
        self._config = config
        self._aside: Aside = aside or _at_once
        self.watching = None if standing is None else Watching(stages, sink, standing)
        self.answering = Answering(stages, sink, self.watching)

    def init_state(self) -> SessionState:
        """A session that has seen nothing."""
        return SessionState(self._stages.selector.init_state())

    async def run(self, source: FrameSource, questions: Iterable[Question]) -> SessionState:
        """Process every frame; a question is answered at the first frame at or after its time.

        A question later than the last frame is answered on the last frame.
        """
        pending = deque(sorted(questions, key=lambda question: question.asked_ns))
        asked = [question.asked_ns for question in pending]
        state = self.init_state()
        channel: Channel[_Seen] = Channel(READ_AHEAD_FRAMES, OverflowPolicy.BLOCK)
        # Closed last: a cancelled session waits for the frame that is in work.
        with _thread("foveal-look") as ahead, _thread("foveal-session") as here:
            looking = asyncio.create_task(self._look_ahead(source, channel, asked, ahead))
            try:
                async for frame, features in channel:
                    await _in(here, partial(self.step, state, frame, pending, features))
                await looking
            finally:
                looking.cancel()
                await asyncio.gather(looking, return_exceptions=True)
            state.late = len(pending)
            await _in(here, partial(self.answer_late, state, pending))
        return state

    def answer_late(self, state: SessionState, pending: deque[Question]) -> None:
        """Answer all that wait about the last frame, if there was one; they leave `pending`."""
        if state.last is not None:
            self._answer_due(state, pending, due_ns=None)
            self._apply_held(state, end=True)

    async def _look_ahead(
        self,
        source: FrameSource,
        channel: Channel[_Seen],
        asked: Sequence[int],
        thread: ThreadPoolExecutor,
    ) -> None:
        """Decode, and make the features that the session will want; `asked` are sorted times."""
        done = 0  # questions that an earlier frame answers
        try:
            async for frame in source.frames():
                due = bisect_right(asked, frame.pts_ns)
                features = await _in(thread, partial(self._make_ahead, frame, due > done))
                done = due
                await channel.put((frame, features))
        except ChannelClosed:
            return
        finally:
            await channel.close()

    def _make_ahead(self, frame: Frame, asked: bool) -> Features | None:
        """What the tracker needs of the frame alone, and features that may be wanted.

        A frame that has none is refused when its turn comes.
        """
        masklets = self._stages.masklets
        try:
            with self._stages.tracer.span("look ahead", frame.pts_ns):
                masklets.look_ahead(frame)
            return self._stages.features(frame) if masklets.live or asked else None
        except BadFrame:
            return None

    def step(
        self,
        state: SessionState,
        frame: Frame,
        pending: deque[Question],
        features: Features | None = None,
    ) -> None:
        """Take one frame and answer the questions that are due; they leave `pending`.

        `features` are the frame's, where they were made before.
        """
        stages = self._stages
        self._apply_held(state)
        try:
            with stages.tracer.span("keyframe", frame.pts_ns):
                state.keyframes, keyframe = stages.selector.step(state.keyframes, frame)
            due = bool(pending) and pending[0].asked_ns <= frame.pts_ns
            passing = any(asked.trail.wants for asked in state.asked)
            look = self.watching is not None and self.watching.standing.due(
                frame.pts_ns, keyframe is not None
            )
            wanted = keyframe is not None or due or passing or look or stages.masklets.live
            features = (features or stages.features(frame)) if wanted else None
            state.regions = self._track(frame, features, keyframe)
            state.frames, state.last, state.features = state.frames + 1, frame, features
            for asked in state.asked:
                asked.trail.passes(frame, features)
            if keyframe is not None and features is not None:
                self._take_keyframe(state, keyframe, features)
            if self.watching is not None and look and features is not None:
                self.watching.step(state, frame, features)
            if due:
                self._answer_due(state, pending, due_ns=frame.pts_ns)
        except BadFrame as error:
            state.refuse(self._sink, frame.pts_ns, "bad frame", str(error))
            return
        with stages.tracer.span("write", frame.pts_ns):
            self._sink.frame(frame, stages.masklets.named(state.regions), keyframe)

    def _track(
        self, frame: Frame, features: Features | None, keyframe: Keyframe | None
    ) -> tuple[Region, ...]:
        if features is None or not self._stages.masklets.live:
            return ()
        with self._stages.tracer.span("tracker", frame.pts_ns):
            return self._stages.masklets.step(frame, features, cut=keyframe is not None)

    def _take_keyframe(self, state: SessionState, keyframe: Keyframe, features: Features) -> None:
        """Report a keyframe with its masklets, and start masklets where there is room."""
        state.keyframe_count += 1
        frame = keyframe.frame
        data = {"reason": keyframe.reason, "novelty": round(keyframe.novelty, 4)}
        self._sink.event(AnswerEvent("keyframe", frame.pts_ns, data))
        if self._stages.assistant.reads_ahead:
            self._read_ahead(state, frame, features)
        if self._config.seed_tracks and self._stages.masklets.room:
            self._seed(state, frame, features)
        for region in state.regions:
            self._sink.event(region_event(region))

    def _seed(self, state: SessionState, frame: Frame, features: Features) -> None:
        """What stands out and is not followed starts a masklet, where there is room."""
        for thing in self._new_things(state, frame, features):
            if thing.score >= self._config.min_seed_score and self._stages.masklets.room:
                mask = self._stages.sharp(state.view, frame, thing.mask)
                region = self._stages.masklets.seed(frame, features, mask)
                if region is not None:
                    state.regions = (*state.regions, region)
                    self.answering.call(replace(thing, track_id=region.track_id))

    def _answer_due(
        self, state: SessionState, pending: deque[Question], due_ns: int | None
    ) -> None:
        """Answer the questions that are due; `due_ns` None means all that are left."""
        while pending and (due_ns is None or pending[0].asked_ns <= due_ns):
            self._apply_held(state)  # what was answered before this was asked
            self._answer(state, pending.popleft())

    def _answer(self, state: SessionState, question: Question) -> None:
        """At once; one question's failure is told, the frames and other questions go on."""
        waiting = list(state.asked)
        try:
            asked = self.answering.look(state, question)
            answered = self.answering.answer(asked, self._sink.event)
            if question.applied_ns is None:
                self.answering.apply(state, answered)
            else:
                state.held.append(answered)
        except FovealError as error:
            state.asked = waiting
            at_ns = 0 if state.last is None else state.last.pts_ns
            state.refuse(self._sink, at_ns, "question", f"{question.text[:80]}: {error}")

    def _apply_held(self, state: SessionState, end: bool = False) -> None:
        """Apply the answers that a recording had applied by the last frame; all at the end."""
        due = [
            one
            for one in state.held
            if end or (state.last and (one.asked.question.applied_ns or 0) <= state.last.pts_ns)
        ]
        state.held = [one for one in state.held if one not in due]
        for answered in due:
            self.answering.apply(state, answered)

    def _new_things(
        self, state: SessionState, frame: Frame, features: Features
    ) -> tuple[GroundedRegion, ...]:
        """What stands out and is not followed."""
        view = state.view
        if view is not None and view.frame is frame:  # it was read ahead
            return tuple(thing for thing in view.things if thing.track_id is None)
        with self._stages.tracer.span("scene", frame.pts_ns):
            return self._stages.reader.new_things(frame, features, state.regions)

    def _read_ahead(self, state: SessionState, frame: Frame, features: Features) -> None:
        """Let the model take in a keyframe before anything is asked."""
        stages = self._stages
        with stages.tracer.span("scene", frame.pts_ns):
            state.view = view = stages.reader.read(frame, features, state.regions)
        for thing in view.things:
            self.answering.call(thing)
        see = stages.assistant.see(view)

        def read() -> None:
            with stages.tracer.span("read ahead", frame.pts_ns):
                see()

        self._aside(read)


def _at_once(work: Callable[[], None]) -> None:
    work()


def _thread(name: str) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix=name)


async def _in(thread: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    """Run blocking work in a thread while the event loop goes on."""
    return await asyncio.get_running_loop().run_in_executor(thread, copy_context().run, work)
