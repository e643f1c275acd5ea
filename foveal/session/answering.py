"""A question in three parts, so that no mask waits for an answer: look, answer, apply.

`look` takes note of all that the answer depends on and `apply` brings what it names into the
session; both are quick and belong to the stream's own thread. `answer` is all that takes long: the
scene is read, the model generates, its masks are cut along their borders and carried after the
stream. It depends on what was looked at alone, so it gives the same answer in any thread, at once
or late, live or in a replay.
"""

from dataclasses import replace

from foveal.session.late_masks import Carried, LateRegion, Moment, covering
from foveal.session.stages import SessionSink, Stages, region_event
from foveal.session.state import Answered, Asked, SessionState
from foveal.session.watching import Watching
from perception.scene.reader import GroundedRegion, SceneView
from reasoning.generation.cancel import CancelToken
from reasoning.generation.conversation import OnEvent
from stream.errors import PromptError
from stream.events import Question, Region, Span
from stream.geometry import decode_mask, encode_mask, mask_box

MIN_NAME_SCORE = 0.5  # a name that is more likely than all others together


class Answering:
    """The answers of one session. Keeps nothing; the state is the session's."""

    def __init__(self, stages: Stages, sink: SessionSink, watching: Watching | None = None) -> None:
        """`watching` answers what is asked of standing questions; without it the model does."""
        self._stages, self._sink, self._watching = stages, sink, watching

    def look(
        self, state: SessionState, question: Question, cancel: CancelToken | None = None
    ) -> Asked:
        """The question, about the last frame; raises BadFrame for one that has no features.

        Each must come to `apply` or `drop` afterwards.
        """
        now = self.now(state)
        view, reader = state.view, self._stages.reader
        if view is not None and view.frame is not now.frame:
            # What the model has read already gives the names; the frame itself gives the masks.
            ahead = self._stages.assistant.reads_ahead
            view = reader.glance(now.frame, now.features, now.regions, view) if ahead else None
        context = self._stages.assistant.context()
        standing = None if self._watching is None else self._watching.asked(question)
        asked = Asked(question, now, view, context, cancel or CancelToken(), standing)
        state.asked.append(asked)
        return asked

    def answer(self, asked: Asked, on_event: OnEvent) -> Answered:
        """Generate, in any thread; what is made goes to `on_event` as it is made.

        Raises Cancelled once `asked.cancel` is, and FovealError where there is no answer.
        """
        if self._watching is not None and asked.standing is not None:
            return self._watching.answer(asked, on_event)
        view = asked.view or self._read(asked.moment)
        with self._stages.tracer.span("answer", asked.moment.frame.pts_ns):
            reply = self._stages.assistant.answer(
                asked.question, view, asked.context, on_event, asked.cancel
            )
        spans = tuple(
            replace(span, region=self._sharp(asked, view, span.region))
            for span in reply.answer.spans
        )
        carried = tuple(self._carried(asked, span.region) for span in spans)
        reply = replace(reply, answer=replace(reply.answer, spans=spans))
        return Answered(asked, view, reply, carried)

    def apply(self, state: SessionState, answered: Answered) -> None:
        """Bring an answer into the session, as of its last frame: names and masklets."""
        asked, answer = answered.asked, answered.reply.answer
        state.asked.remove(asked)
        self._stages.assistant.remember(answered.reply)
        view = answered.view
        if asked.view is None and view is not None:
            for thing in view.things:
                self.call(thing)
            if state.view is None or state.view.frame.pts_ns < view.frame.pts_ns:
                state.view = view
        spans = []
        for span, carried in zip(answer.spans, answered.carried, strict=True):
            region = self._follow(state, asked, span.region, carried)
            self._stages.masklets.call(region.track_id, answer.name_of(span))
            spans.append(Span(span.start, span.end, region))
            self._sink.event(region_event(region))
        if answer.cut:  # told already, while it was made
            state.refused["cut off"] = state.refused.get("cut off", 0) + 1
        else:
            state.answered += 1
        answer = replace(answer, spans=tuple(spans))
        self._sink.answer(answer, asked.moment.frame, tuple(span.region for span in spans))
        if self._watching is not None and answered.plan is not None:
            self._watching.apply(state, answered.plan, answer)

    def drop(self, state: SessionState, asked: Asked) -> None:
        """No answer came: nothing of the question stays."""
        state.asked.remove(asked)

    def now(self, state: SessionState) -> Moment:
        """The last frame as it is now."""
        assert state.last is not None, "a frame came before"
        state.features = state.features or self._stages.features(state.last)
        return Moment(state.last, state.features, state.regions)

    def call(self, thing: GroundedRegion) -> None:
        """A masklet gets the name that it most likely has, until an answer calls it something."""
        if thing.track_id is not None and thing.names and thing.score >= MIN_NAME_SCORE:
            self._stages.masklets.call(thing.track_id, thing.names[0].label, anew=False)

    def _read(self, moment: Moment) -> SceneView:
        with self._stages.tracer.span("scene", moment.frame.pts_ns):
            return self._stages.reader.read(moment.frame, moment.features, moment.regions)

    def _sharp(self, asked: Asked, view: SceneView, region: Region) -> Region:
        """A new region of an answer along the thing's border. A masklet's own is left as it is,
        and so is what was pointed at: it was cut out exactly."""
        pointed = asked.question.point is not None or asked.question.box is not None
        known = any(one.track_id == region.track_id for one in asked.moment.regions)
        if pointed or known or region.box is None:
            return region
        mask = self._stages.sharp(view, asked.moment.frame, decode_mask(region.mask))
        return replace(region, mask=encode_mask(mask), box=mask_box(mask))

    def _carried(self, asked: Asked, region: Region) -> Carried | None:
        """A new thing's mask on its way to the present, as far as the stream is by now."""
        moment, carrier = asked.moment, self._stages.masklets.carrier
        known = any(one.track_id == region.track_id for one in moment.regions)
        if known or not carrier.beside or not asked.trail.passed:
            return None
        try:
            if covering(region, moment) is not None:
                return None
            carried = carrier.start(moment, decode_mask(region.mask))
        except PromptError:
            return None  # told when it is applied
        return carrier.onwards(carried, list(asked.trail.stations))

    def _follow(
        self, state: SessionState, asked: Asked, region: Region, carried: Carried | None
    ) -> Region:
        """What an answer speaks of lives on as a masklet."""
        now, masklets = self.now(state), self._stages.masklets
        try:
            if now.frame is asked.moment.frame:
                followed = masklets.follow(region, now)
                started: Region | None = followed
            else:
                late = LateRegion(region, asked.moment, asked.trail.stations, carried)
                followed, started = masklets.follow_late(late, now)
        except PromptError as error:
            state.refuse(self._sink, now.frame.pts_ns, "masklet", str(error))
            return region
        shown = {one.track_id for one in state.regions}
        if started is not None and started.track_id not in shown:
            state.regions = (*state.regions, started)
        return followed
