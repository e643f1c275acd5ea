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
from dataclasses import replace
from functools import partial
from typing import TypeVar

from foveal.config.schema import SessionConfig
from foveal.session.stages import SessionSink, SessionState, Stages, detected_box, region_event
from perception.features.backbone import Features
from perception.scene.reader import GroundedRegion, SceneView
from stream.channel import Channel, OverflowPolicy
from stream.errors import BadFrame, ChannelClosed, FovealError, PromptError
from stream.events import AnswerEvent, Question, Region, Span
from stream.frame import Frame, FrameSource, Keyframe, Mask
from stream.geometry import decode_mask, encode_mask, mask_box

READ_AHEAD_FRAMES = 4
MIN_NAME_SCORE = 0.5  # a name that is more likely than all others together

T = TypeVar("T")


_Seen = tuple[Frame, Features | None]  # what the first stage hands to the second


class Session:
    """Runs one source to its end (or until cancelled)."""

    def __init__(self, stages: Stages, sink: SessionSink, config: SessionConfig) -> None:
        self._stages = stages
        self._sink = sink
        self._config = config

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
            self._answer_due(state, state.last, pending, None, due_ns=None)

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
            return self._features(frame) if masklets.live or asked else None
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
        try:
            with stages.tracer.span("keyframe", frame.pts_ns):
                state.keyframes, keyframe = stages.selector.step(state.keyframes, frame)
            due = bool(pending) and pending[0].asked_ns <= frame.pts_ns
            wanted = keyframe is not None or due or stages.masklets.live
            features = (features or self._features(frame)) if wanted else None
            state.regions = self._track(frame, features, keyframe)
            state.frames, state.last = state.frames + 1, frame
            if keyframe is not None and features is not None:
                self._take_keyframe(state, keyframe, features, due)
            if due:
                self._answer_due(state, frame, pending, features, due_ns=frame.pts_ns)
        except BadFrame as error:
            self._refuse(state, frame.pts_ns, "bad frame", str(error))
            return
        with stages.tracer.span("write", frame.pts_ns):
            self._sink.frame(frame, stages.masklets.named(state.regions), keyframe)

    def _features(self, frame: Frame) -> Features:
        with self._stages.tracer.span("backbone", frame.pts_ns):
            return self._stages.backbone.features(frame.image)

    def _track(
        self, frame: Frame, features: Features | None, keyframe: Keyframe | None
    ) -> tuple[Region, ...]:
        if features is None or not self._stages.masklets.live:
            return ()
        with self._stages.tracer.span("tracker", frame.pts_ns):
            return self._stages.masklets.step(frame, features, cut=keyframe is not None)

    def _take_keyframe(
        self, state: SessionState, keyframe: Keyframe, features: Features, asked: bool
    ) -> None:
        """Report a keyframe with its masklets, and start masklets where there is room."""
        state.keyframe_count += 1
        frame = keyframe.frame
        data = {"reason": keyframe.reason, "novelty": round(keyframe.novelty, 4)}
        self._sink.event(AnswerEvent("keyframe", frame.pts_ns, data))
        if self._stages.assistant.reads_ahead:
            self._read_ahead(state, frame, features)
            asked = True
        if self._config.seed_tracks and self._stages.masklets.room:
            for thing in self._new_things(state, frame, features, asked):
                if thing.score >= self._config.min_seed_score and self._stages.masklets.room:
                    mask = self._sharp(state, frame, thing.mask)
                    region = self._stages.masklets.seed(frame, features, mask)
                    if region is not None:
                        state.regions = (*state.regions, region)
                        self._call(replace(thing, track_id=region.track_id))
        for region in state.regions:
            self._sink.event(region_event(region))

    def _answer_due(
        self,
        state: SessionState,
        frame: Frame,
        pending: deque[Question],
        features: Features | None,
        due_ns: int | None,
    ) -> None:
        """Answer the questions that are due; `due_ns` None means all that are left."""
        while pending and (due_ns is None or pending[0].asked_ns <= due_ns):
            question = pending.popleft()
            try:
                features = features or self._features(frame)
                self._answer(state, frame, features, question)
            except FovealError as error:
                # One question's failure is told; the frames and the other questions go on.
                self._refuse(state, frame.pts_ns, "question", f"{question.text[:80]}: {error}")

    def _answer(
        self, state: SessionState, frame: Frame, features: Features, question: Question
    ) -> None:
        view = self._asked_view(state, frame, features)
        with self._stages.tracer.span("answer", frame.pts_ns):
            answer = self._stages.assistant.ask(question, view, self._sink.event)
        spans = []
        for span in answer.spans:
            region = span.region
            if question.point is None and question.box is None:  # else it was cut out exactly
                region = self._sharp_region(state, frame, region)
            region = self._follow(state, frame, features, region)
            self._stages.masklets.call(region.track_id, answer.name_of(span))
            spans.append(Span(span.start, span.end, region))
            self._sink.event(region_event(region))
        answer = replace(answer, spans=tuple(spans))
        state.answered += 1
        self._sink.answer(answer, frame, tuple(span.region for span in spans))

    def _new_things(
        self, state: SessionState, frame: Frame, features: Features, asked: bool
    ) -> tuple[GroundedRegion, ...]:
        """What stands out and is not followed; a frame that is asked about is read but once."""
        if asked:
            things = self._view(state, frame, features).things
            return tuple(thing for thing in things if thing.track_id is None)
        with self._stages.tracer.span("scene", frame.pts_ns):
            return self._stages.reader.new_things(frame, features, state.regions)

    def _read_ahead(self, state: SessionState, frame: Frame, features: Features) -> None:
        """Let the model take in a keyframe before anything is asked."""
        view = self._view(state, frame, features)
        with self._stages.tracer.span("read ahead", frame.pts_ns):
            self._stages.assistant.see(view)

    def _asked_view(self, state: SessionState, frame: Frame, features: Features) -> SceneView:
        """What a question is answered from: the frame's own features, and its scene, or the last
        keyframe's where the model has read that one already."""
        seen = state.view
        if seen is None or not self._stages.assistant.reads_ahead:
            return self._view(state, frame, features)
        return self._stages.reader.glance(frame, features, state.regions, seen)

    def _view(self, state: SessionState, frame: Frame, features: Features) -> SceneView:
        """The frame's scene, read once however many questions it gets."""
        if state.view is None or state.view.frame is not frame:
            with self._stages.tracer.span("scene", frame.pts_ns):
                state.view = self._stages.reader.read(frame, features, state.regions)
            for thing in state.view.things:
                self._call(thing)
        return state.view

    def _call(self, thing: GroundedRegion) -> None:
        """A masklet gets the name that it most likely has, until an answer calls it something."""
        if thing.track_id is not None and thing.names and thing.score >= MIN_NAME_SCORE:
            self._stages.masklets.call(thing.track_id, thing.names[0].label, anew=False)

    def _follow(
        self, state: SessionState, frame: Frame, features: Features, region: Region
    ) -> Region:
        """What an answer speaks of lives on as a masklet."""
        try:
            followed = self._stages.masklets.follow(frame, features, region, state.regions)
        except PromptError as error:
            self._refuse(state, frame.pts_ns, "masklet", str(error))
            return region
        if all(known.track_id != followed.track_id for known in state.regions):
            state.regions = (*state.regions, followed)
        return followed

    def _sharp_region(self, state: SessionState, frame: Frame, region: Region) -> Region:
        """A new region of an answer along the thing's border; after the answer, which waits for
        nothing. A masklet's own region is left as it is."""
        if region.box is None or any(one.track_id == region.track_id for one in state.regions):
            return region
        mask = self._sharp(state, frame, decode_mask(region.mask))
        return replace(region, mask=encode_mask(mask), box=mask_box(mask))

    def _sharp(self, state: SessionState, frame: Frame, mask: Mask) -> Mask:
        box = detected_box(state.view, frame, mask)
        with self._stages.tracer.span("mask", frame.pts_ns):
            return self._stages.cutter.sharpen(frame.image, mask, box)

    def _refuse(self, state: SessionState, pts_ns: int, cause: str, reason: str) -> None:
        state.refused[cause] = state.refused.get(cause, 0) + 1
        self._sink.event(AnswerEvent("refused", pts_ns, {"cause": cause, "reason": reason}))


def _thread(name: str) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix=name)


async def _in(thread: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    """Run blocking work in a thread while the event loop goes on."""
    return await asyncio.get_running_loop().run_in_executor(thread, work)
