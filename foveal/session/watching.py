"""Standing questions in a session: words about them are answered, frames are looked at for them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from foveal.session.late_masks import Moment
from foveal.session.stages import SessionSink, Stages, region_event
from foveal.session.standing import Alarm, Plan, StandingQuestions, alarm_data
from foveal.session.state import Answered, Asked, AskedStanding, SessionState
from foveal.session.watch_book import Watch
from perception.features.backbone import Features
from perception.scene.reader import GroundedRegion, SceneView
from reasoning.generation.conversation import OnEvent, Reply, as_region
from reasoning.generation.protocol import Turn
from reasoning.standing.requests import read_request
from stream.errors import FovealError, PromptError
from stream.events import Answer, AnswerEvent, Question, Region, Span
from stream.frame import Frame
from stream.geometry import encode_mask, mask_box

MODEL = "standing questions"  # told as who answered


@dataclass(frozen=True, slots=True, eq=False)
class Watching:
    """One session's; keeps nothing beside its standing questions."""

    stages: Stages
    sink: SessionSink
    standing: StandingQuestions

    def asked(self, question: Question) -> AskedStanding | None:
        """What a question asks of standing questions, with those there are now; None: nothing."""
        request = read_request(question.text)
        return None if request is None else AskedStanding(request, self.standing.watches)

    def answer(self, asked: Asked, on_event: OnEvent) -> Answered:
        """What comes of it, in any thread; nothing changes before `apply`."""
        wanted, question, moment = asked.standing, asked.question, asked.moment
        assert wanted is not None
        view: SceneView | None = asked.view

        def point_at() -> GroundedRegion:
            nonlocal view
            view = view or self.stages.reader.read(moment.frame, moment.features, moment.regions)
            height, width = moment.frame.size
            point = question.point or (None if question.box else (width // 2, height // 2))
            return self.stages.reader.point_at(view, point, question.box)

        on_event(AnswerEvent("question", question.asked_ns, {"text": question.text}))
        asked.cancel.check()
        plan = self.standing.plan(wanted.request, question.text, wanted.watches, moment, point_at)
        text = plan.text
        spans: tuple[Span, ...] = ()
        if plan.shown is not None:
            region = as_region(plan.shown, moment.frame.pts_ns)
            start = text.index("it again")
            spans = (Span(start, start + len("it"), region),)
        token = {"id": 0, "text": text, "forced": False, "spoken": True}
        on_event(AnswerEvent("token", question.asked_ns, token))
        on_event(AnswerEvent("end", question.asked_ns, {"text": text, "tokens": 1}))
        answer = Answer(question, text, text, spans, (), model=MODEL)
        reply = Reply(answer, Turn(question.text, text, question.asked_ns))
        return Answered(asked, view, reply, (None,) * len(spans), plan)

    def apply(self, state: SessionState, plan: Plan, answer: Answer) -> None:
        """Let it come true, once the answer's masks are in the session."""
        track_id = answer.spans[0].region.track_id if answer.spans else None
        at_ns = 0 if state.last is None else state.last.pts_ns
        changed = False
        try:
            changed = self.standing.commit(plan, answer.question.text, track_id or None)
        except FovealError as error:
            changed = True
            state.refuse(self.sink, at_ns, "standing", str(error))
        if changed:
            self.tell(at_ns)

    def remove(self, state: SessionState, ids: Sequence[int]) -> None:
        """Watch for these no longer, and tell what is left."""
        at_ns = 0 if state.last is None else state.last.pts_ns
        try:
            self.standing.remove(ids)
        except FovealError as error:
            state.refuse(self.sink, at_ns, "standing", str(error))
        self.tell(at_ns)

    def tell(self, at_ns: int) -> None:
        """The list, to whoever listens."""
        rows = [_told(one) for one in self.standing.watches]
        self.sink.event(AnswerEvent("watches", at_ns, {"watches": rows}))

    def step(self, state: SessionState, frame: Frame, features: Features) -> None:
        """Look at a frame that is due, and tell what has come true."""
        with self.stages.tracer.span("watch", frame.pts_ns):
            now = Moment(frame, features, state.regions)
            # A keyframe's own look is shared: the reader remembers the last picture.
            detections = self.stages.reader.detect(frame.image)
            alarms = self.standing.look(now, detections)
        for alarm in alarms:
            self._tell_alarm(state, now, alarm)
        done = [one.watch.id for one in alarms if not one.watch.request.repeats]
        if done:
            self.remove(state, done)

    def _tell_alarm(self, state: SessionState, now: Moment, alarm: Alarm) -> None:
        region = self._followed(state, now, alarm)
        shown = None if region is None else region_event(region).data
        data = {**alarm_data(alarm), "region": shown}
        self.sink.event(AnswerEvent("alert", now.frame.pts_ns, data))

    def _followed(self, state: SessionState, now: Moment, alarm: Alarm) -> Region | None:
        """What was seen, as a masklet from now on."""
        spot, masklets = alarm.spot, self.stages.masklets
        if spot.box is None:
            return None
        try:
            mask = spot.mask
            if mask is None:
                mask = self.stages.cutter.from_box(now.frame.image, spot.box)
            track, box = spot.track_id or 0, mask_box(mask)
            region = Region(track, now.frame.pts_ns, encode_mask(mask), box, spot.probability)
            region = masklets.follow(region, now)
        except PromptError as error:
            state.refuse(self.sink, now.frame.pts_ns, "masklet", str(error))
            return None
        masklets.call(region.track_id, spot.name, anew=False)
        if region.track_id not in {one.track_id for one in state.regions}:
            state.regions = (*state.regions, region)
        return replace(region, name=spot.name)


def _told(watch: Watch) -> dict[str, object]:
    request = watch.request
    return {
        "id": watch.id,
        "asked": watch.text,
        "kind": request.kind,
        "things": list(request.things),
        "repeats": request.repeats,
    }
