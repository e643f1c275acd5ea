"""The worker's half of a live session: frames and questions through the models, what they make out.

Everything here runs in the worker's thread, a job at a time, except what is said to be otherwise:
the event loop adds to `waiting`, stops answers and loses patience, and answers are generated in
threads of their own. A recording starts another conversation, so that it can be replayed to the
same answers.
"""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from foveal.live.camera_watch import OLD_NS
from foveal.live.parts import LiveParts
from foveal.live.protocol import server
from foveal.live.protocol.wire import (
    end_message,
    outgoing_message,
    question_of,
    regions_message,
    small,
)
from foveal.live.recording import FileRecording
from foveal.live.threads.answer_threads import Seat
from foveal.live.turns import AnswerJob, LiveTurn, ReadingAhead
from foveal.live.view import LiveView
from foveal.session.pipeline import Session
from foveal.session.stages import SessionSink, Stages
from foveal.session.state import Answered, SessionState
from stream.clock import NS_PER_MS, NS_PER_S, Clock
from stream.errors import Cancelled, ChannelClosed, FovealError, OutputError
from stream.events import Answer, AnswerEvent, Region
from stream.frame import Frame, Keyframe
from stream.outgoing import Outgoing

logger = logging.getLogger(__name__)

Renewal = tuple[FileRecording | None, str]  # the recording of a new conversation, and why
Deliver = Callable[[server.ServerMessage], None]  # called in any thread


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
    """A SessionSink; `deliver` takes its messages, in order. `worded` is told a turn whose words
    are all there, in the thread that made them: its masks are still on their way."""

    parts: LiveParts
    deliver: Deliver
    worded: Callable[[int], None]
    clock: Clock
    meter: Meter
    view: LiveView
    run: Run | None = None  # made with the first job
    waiting: deque[LiveTurn] = field(default_factory=deque)  # and the one that is answered first
    job: AnswerJob | None = None  # being answered
    applying: LiveTurn | None = None  # what is told now is of this turn
    ended: bool = False
    failures: int = 0  # frames in a row that no model could take
    captured_ns: int | None = None  # when the last frame was taken, by its sender's clock

    def prepare(self, renew: Renewal | None) -> Run:
        """The conversation, a new one if asked for."""
        if self.run is None or renew is not None:
            if self.run is not None and renew is not None:
                self._end_job("stopped", "a new conversation was started")
                self.stop_recording(renew[1])
            stages = self.parts.make_stages()
            ahead = ReadingAhead(self.parts.answers, stages.assistant.remote)
            standing = None if self.parts.standing is None else self.parts.standing(stages)
            config, sink = self.parts.config, self._remembered()
            session = Session(stages, sink, config, ahead.put, standing)
            self.run = Run(stages, session, session.init_state(), renew[0] if renew else None)
            if renew is not None:
                self._post(server.ForgotMessage())
            if self.run.recording is not None:
                self._post(server.RecordingMessage(on=True, id=self.run.recording.id))
        return self.run

    def _remembered(self) -> SessionSink:
        """What the session tells, by way of the memory where there is one."""
        memory = self.parts.memory
        if memory is None:
            return self
        sink = memory.before(self)
        if memory.running:
            self._post(server.MemoryMessage(on=True))
        return sink

    def step(self, frame: Frame, renew: Renewal | None, captured_ns: int | None = None) -> None:
        """One frame; a question that waits is about it, and its answer begins to be made.

        `captured_ns`: Unix time of its sender, where that is known.
        """
        if self.ended:
            return
        self.captured_ns = captured_ns
        try:
            run = self.prepare(renew)
            if run.recording is not None:
                run.recording.frame(frame)
            run.stages.masklets.look_ahead(frame, at_once=True)
            run.session.step(run.state, frame, deque())
            self.failures = 0
        except ChannelClosed:
            return  # ended in the middle
        except Exception as error:  # whatever a model does, the session goes on
            self._fail(error)
            return
        if run.state.last is frame:  # else it was no good, and the question waits for another
            self.look()

    def watches(self, end: int | None = None, everything: bool = False) -> None:
        """Tell what is watched for, without one of that id, or without all, from now on."""
        if self.ended:
            return
        try:
            run = self.prepare(None)
            watching = run.session.watching
            if watching is None:
                self._post(server.WatchesMessage(watches=()))
            elif end is None and not everything:
                watching.tell(0 if run.state.last is None else run.state.last.pts_ns)
            else:
                known = [one.id for one in watching.standing.watches]
                watching.remove(run.state, [one for one in known if everything or one == end])
        except ChannelClosed:
            return  # ended in the middle
        except Exception as error:  # whatever goes wrong, the session goes on
            self._fail(error)

    def look(self, paused: bool = False) -> None:
        """The next question is about the last frame; its answer begins in a thread of its own.

        `paused`: no other frame may come to show its masks.
        """
        run = self.run
        if run is None or run.state.last is None or self.job or not self.waiting or self.ended:
            return
        turn, frame = self.waiting[0], run.state.last
        turn.began_ns = self.clock.now_ns()
        self.applying = turn
        try:
            if run.recording is not None:
                run.recording.message(turn.told, frame.pts_ns)
            pts_ms, age_ns = frame.pts_ns // NS_PER_MS, turn.began_ns - frame.arrival_ns
            turn.age_ms = age_ns // NS_PER_MS if age_ns > OLD_NS else None
            number = turn.told.turn
            self._post(server.StartedMessage(turn=number, pts_ms=pts_ms, age_ms=turn.age_ms))
            question = question_of(turn.told, frame.pts_ns, frame.size)
            asked = run.session.answering.look(run.state, question)
            self.job = job = AnswerJob(turn, run.recording, asked, turn.began_ns, paused)
            asked.cancel.on_cancel(lambda: self._submit(lambda: self._stopped(job)))
            remote = run.stages.assistant.remote
            self.parts.answers.start(lambda seat: self._make(run, job, seat), asked.cancel, remote)
        except Exception as error:
            if self.job is not None:  # no thread could be had
                self._end_job("question", str(error))
            else:
                self.waiting.popleft()
                self._fail(error)
        finally:
            self.applying = None

    def _make(self, run: Run, job: AnswerJob, seat: Seat) -> None:
        """In the answer's own thread: generate it."""
        job.sign_ns = self.clock.now_ns()  # its turn has come

        def tell(event: AnswerEvent) -> None:
            job.asked.cancel.check()
            job.sign_ns, job.begun = self.clock.now_ns(), job.begun or event.kind == "token"
            if event.kind == "end":
                seat.leave()  # what follows needs no language model
                self.worded(job.turn.told.turn)
            else:
                self._told(event, job.turn, job.recording)
            seat.hand_on()

        outcome: Answered | Exception
        try:
            outcome = run.session.answering.answer(job.asked, tell)
        except Exception as error:
            outcome = error
        self._submit(lambda: self._finish(run, job, outcome))

    def _finish(self, run: Run, job: AnswerJob, outcome: Answered | Exception) -> None:
        """An answer has come, or why it did not; it may have been given up meanwhile."""
        if self.job is not job or self.ended:
            return
        if isinstance(outcome, Cancelled):
            self._stopped(job)
            return
        if isinstance(outcome, FovealError) and not isinstance(outcome, OutputError):
            asked = job.asked.question.text[:80]
            self._end_job("question", f"{asked}: {outcome}")
            return
        self.job, self.applying = None, job.turn
        try:
            if not isinstance(outcome, Answered):
                run.session.answering.drop(run.state, job.asked)
                raise outcome
            self._apply(run, outcome, job.paused)
        except ChannelClosed:
            return
        except Exception as error:
            self._fail(error)
        finally:
            self.applying = None
            self.waiting.popleft()

    def _apply(self, run: Run, answered: Answered, paused: bool) -> None:
        last = run.state.last
        assert last is not None  # it was asked about one
        if run.recording is not None:
            question = replace(answered.asked.question, applied_ns=last.pts_ns)
            run.recording.question(question)
        run.session.answering.apply(run.state, answered)
        if paused:
            regions = run.stages.masklets.named(run.state.regions)
            age_ns = self.clock.now_ns() - last.arrival_ns
            self._post(regions_message(regions, last, age_ns, self.captured_ns))
            self.view.show(last, regions, None)

    def stop(self, reason: str, cause: str = "stopped") -> None:
        """On the event loop: give up the answer that is being made, if there is one."""
        job = self.job
        if job is not None:
            job.cause = cause
            job.asked.cancel.cancel(reason)

    def lose_patience(self) -> None:
        """On the event loop, now and then: give up an answer that shows no sign of life."""
        job, run = self.job, self.run
        if job is None or run is None:
            return
        patience_s = run.stages.assistant.patience_s
        if self.clock.now_ns() - job.sign_ns > patience_s * NS_PER_S:
            name = run.stages.assistant.name
            what = "the answer of {} stopped for" if job.begun else "no answer came of {} within"
            self.stop(f"{what.format(name)} {patience_s:g} s", "question")

    def _stopped(self, job: AnswerJob) -> None:
        """An answer was cancelled; its thread may still hang."""
        if self.job is job and not self.ended:
            self._end_job(job.cause, job.asked.cancel.reason)

    def _end_job(self, cause: str, reason: str) -> None:
        """No answer comes; it is told why."""
        job, run = self.job, self.run
        if job is None or run is None:
            return
        self.job = None
        self.waiting.popleft()
        job.asked.cancel.cancel(reason)
        run.session.answering.drop(run.state, job.asked)
        self._post(server.RefusedMessage(turn=job.turn.told.turn, cause=cause, reason=reason))

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

    def frame(self, frame: Frame, regions: tuple[Region, ...], keyframe: Keyframe | None) -> None:
        """SessionSink: one frame is done."""
        age_ns = max(0, self.clock.now_ns() - frame.arrival_ns)
        self.meter.frames += 1
        self.meter.age_ns = max(self.meter.age_ns, age_ns)
        self._post(regions_message(regions, frame, age_ns, self.captured_ns))
        self.view.show(frame, regions, keyframe)

    def event(self, event: AnswerEvent) -> None:
        """SessionSink: pass one event on; raises ChannelClosed once the session has ended."""
        if self.ended:
            raise ChannelClosed("the session has ended")
        self._told(event, self.applying, None if self.run is None else self.run.recording)

    def sent(self, sent: Outgoing) -> None:
        """In any thread: a request of this session has gone to a server."""
        run = self.run
        if run is not None and run.recording is not None:
            run.recording.sent(sent)
        self._post(outgoing_message(sent))

    def answer(self, answer: Answer, frame: Frame, regions: tuple[Region, ...]) -> None:
        """SessionSink: an answer is finished."""
        timings = {name: taken / NS_PER_MS for name, taken in answer.timings_ns.items()}
        age_ms = None if self.applying is None else self.applying.age_ms
        if self.applying is not None:
            now_ns = self.clock.now_ns()
            timings["waited"] = (self.applying.began_ns - self.applying.asked_ns) / NS_PER_MS
            timings["turn"] = (now_ns - self.applying.asked_ns) / NS_PER_MS
        if self.run is not None and self.run.recording is not None:
            self.run.recording.answer(answer)
        moment = None if self.parts.memory is None else self.parts.memory.moment(answer)
        self._post(end_message(self._number or 0, answer, frame, timings, age_ms, moment))

    @property
    def _number(self) -> int | None:
        return None if self.applying is None else self.applying.told.turn

    def _submit(self, work: Callable[[], None]) -> None:
        self.parts.lane.submit(work)

    def _told(
        self, event: AnswerEvent, turn: LiveTurn | None, recording: FileRecording | None
    ) -> None:
        """Pass an event on, from any thread."""
        known = server.EVENTS.get(event.kind)
        if known is None:  # the others are told with all of the frame or of the answer
            return
        number = None if turn is None else turn.told.turn
        told = {"turn": number, "pts_ms": event.stream_ns // NS_PER_MS}
        self._send(known.model_validate({**told, **small(event.data)}), recording)

    def _post(self, message: server.ServerMessage) -> None:
        """From the worker to the loop, in order, and into the recording."""
        self._send(message, None if self.run is None else self.run.recording)

    def _send(self, message: server.ServerMessage, recording: FileRecording | None) -> None:
        if recording is not None and self.run is not None:
            last = self.run.state.last
            recording.message(message, 0 if last is None else last.pts_ns)
        self.deliver(message)
