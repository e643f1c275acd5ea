"""The worker's half of a live session: frames and questions through the models, what they make out.

Everything here runs in the worker's thread, a job at a time, except `waiting`, to which the event
loop adds. A recording starts another conversation, so that it can be replayed to the same answers.
"""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from foveal.live.parts import LiveParts
from foveal.live.protocol import server
from foveal.live.protocol.wire import end_message, question_of, regions_message
from foveal.live.recording import FileRecording
from foveal.live.view import LiveView
from foveal.session.pipeline import Session
from foveal.session.stages import SessionState, Stages
from stream.clock import NS_PER_MS, Clock
from stream.errors import ChannelClosed, FovealError
from stream.events import Answer, AnswerEvent, Question, Region
from stream.frame import Frame, Keyframe

logger = logging.getLogger(__name__)

Renewal = tuple[FileRecording | None, str]  # the recording of a new conversation, and why
Deliver = Callable[[server.ServerMessage], None]  # called in the worker


@dataclass(slots=True)
class LiveTurn:
    """One question on its way to its answer."""

    told: server.AskedMessage
    asked_ns: int  # on the clock
    began_ns: int = 0
    heard: bool = False  # its first audio was queued


@dataclass(slots=True)
class Meter:
    """What the last second was like."""

    frames: int = 0
    age_ns: int = 0
    since_ns: int = 0


@dataclass(slots=True, eq=False)
class Run:
    """One conversation from its first frame on: a recording starts another."""

    stages: Stages
    session: Session
    state: SessionState
    recording: FileRecording | None = None


@dataclass(slots=True, eq=False)
class Conversation:
    """A SessionSink; `deliver` takes its messages, in order."""

    parts: LiveParts
    deliver: Deliver
    clock: Clock
    meter: Meter
    view: LiveView
    run: Run | None = None  # made with the first job
    waiting: deque[LiveTurn] = field(default_factory=deque)
    turn: LiveTurn | None = None  # being answered
    ended: bool = False
    failures: int = 0  # frames in a row that no model could take

    def prepare(self, renew: Renewal | None) -> Run:
        """The conversation, a new one if asked for."""
        if self.run is None or renew is not None:
            if self.run is not None and renew is not None:
                self.stop_recording(renew[1])
            stages = self.parts.make_stages()
            session = Session(stages, self, self.parts.config)
            self.run = Run(stages, session, session.init_state(), renew[0] if renew else None)
            if renew is not None:
                self._post(server.ForgotMessage())
            if self.run.recording is not None:
                self._post(server.RecordingMessage(on=True, id=self.run.recording.id))
        return self.run

    def step(self, frame: Frame, renew: Renewal | None) -> None:
        """One frame, and at most one question."""
        if self.ended:
            return
        try:
            run = self.prepare(renew)
            if run.recording is not None:
                run.recording.frame(frame)
        except Exception as error:
            self._fail(error)
            return
        self._answering(frame, lambda due: run.session.step(run.state, frame, due))

    def _answering(self, frame: Frame, work: Callable[[deque[Question]], None]) -> None:
        """Do `work` with the question that is next, if any."""
        turn = self.waiting[0] if self.waiting else None
        due: deque[Question] = deque()
        try:
            if turn is not None:
                self.turn, turn.began_ns = turn, self.clock.now_ns()
                question = question_of(turn.told, frame.pts_ns, frame.size)
                due.append(question)
                if self.run is not None and self.run.recording is not None:
                    self.run.recording.question(question)
                    self.run.recording.message(turn.told, frame.pts_ns)
                pts_ms = frame.pts_ns // NS_PER_MS
                self._post(server.StartedMessage(turn=turn.told.turn, pts_ms=pts_ms))
            work(due)
            self.failures = 0
        except ChannelClosed:
            return  # ended in mid-answer
        except Exception as error:  # whatever a model does, the session goes on
            due.clear()
            self._fail(error)
        finally:
            if turn is not None and not due:
                self.waiting.popleft()
            self.turn = None

    def _fail(self, error: Exception) -> None:
        self.failures += 1
        if isinstance(error, FovealError):
            reason = str(error)
        else:
            logger.exception("a frame failed", exc_info=error)
            reason = type(error).__name__
        self._post(server.RefusedMessage(turn=self._number, cause="internal", reason=reason))
        if self.run is not None and self.run.recording is not None:
            self.stop_recording(f"a frame failed: {reason}")

    def stop_recording(self, reason: str) -> None:
        """End the recording, if there is one."""
        run = self.run
        if run is None or run.recording is None:
            return
        recording, run.recording = run.recording, None
        try:
            recording.close(reason)
        except FovealError as error:
            reason = str(error)
        self.deliver(server.RecordingMessage(on=False, id=recording.id, reason=reason))

    def answer_paused(self, frame: Frame) -> None:
        """The next question about the last frame, as no other comes."""
        run = self.run
        assert run is not None  # there was a last frame

        def answer(due: deque[Question]) -> None:
            run.session.answer_late(run.state, due)
            self._post(regions_message(run.state.regions, frame, 0))
            self.view.show(frame, run.state.regions, None)

        self._answering(frame, answer)

    def frame(self, frame: Frame, regions: tuple[Region, ...], keyframe: Keyframe | None) -> None:
        """SessionSink: one frame is done."""
        age_ns = max(0, self.clock.now_ns() - frame.arrival_ns)
        self.meter.frames += 1
        self.meter.age_ns = max(self.meter.age_ns, age_ns)
        self._post(regions_message(regions, frame, age_ns))
        self.view.show(frame, regions, keyframe)

    def event(self, event: AnswerEvent) -> None:
        """SessionSink: pass one event on; raises ChannelClosed once the session has ended."""
        if self.ended:
            raise ChannelClosed("the session has ended")
        if self.turn is not None:
            self.parts.lane.give_way()
        known = server.EVENTS.get(event.kind)
        if known is not None:  # the others are told with all of the frame or of the answer
            told = {"turn": self._number, "pts_ms": event.stream_ns // NS_PER_MS}
            self._post(known.model_validate({**told, **event.data}))

    def answer(self, answer: Answer, frame: Frame, regions: tuple[Region, ...]) -> None:
        """SessionSink: an answer is finished."""
        timings = {name: taken / NS_PER_MS for name, taken in answer.timings_ns.items()}
        if self.turn is not None:
            now_ns = self.clock.now_ns()
            timings["waited"] = (self.turn.began_ns - self.turn.asked_ns) / NS_PER_MS
            timings["turn"] = (now_ns - self.turn.asked_ns) / NS_PER_MS
        if self.run is not None and self.run.recording is not None:
            self.run.recording.answer(answer)
        self._post(end_message(self._number or 0, answer, frame, timings))

    @property
    def _number(self) -> int | None:
        return None if self.turn is None else self.turn.told.turn

    def _post(self, message: server.ServerMessage) -> None:
        """From the worker to the loop, in order."""
        if self.run is not None and self.run.recording is not None:
            last = self.run.state.last
            self.run.recording.message(message, 0 if last is None else last.pts_ns)
        self.deliver(message)
