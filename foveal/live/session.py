"""One live session: the freshest frames in; masklets, answers and speech out.

The event loop moves media and messages; models run on the shared worker, a frame at a time. What
cannot be kept up with is dropped before it. A session outlives its connections: another camera may
take over, and stream time goes on.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from foveal.live.parts import LiveParts, LiveRecording
from foveal.live.protocol import Ask, answer_data, regions_data
from foveal.live.timeline import StreamTimeline
from foveal.live.voice import LiveVoice
from foveal.session import Session, SessionState, Stages
from stream.clock import NS_PER_MS, NS_PER_S, Clock
from stream.errors import ChannelClosed, FovealError, PromptError
from stream.events import Answer, AnswerEvent, Question, Region
from stream.frame import Frame, FrameSource, Keyframe

logger = logging.getLogger(__name__)

MAX_WAITING = 4  # questions
MAX_FAILURES = 20  # frames in a row that no model could take
PATROL_NS = 250 * NS_PER_MS
STATS_NS = NS_PER_S
PAUSED_NS = 2 * NS_PER_S  # no frame for so long: questions are about the last one

Tell = Callable[[str, dict[str, Any]], None]  # type, data; called on the event loop


@dataclass(slots=True)
class _Turn:
    """One question on its way to its answer."""

    number: int
    ask: Ask
    asked_ns: int  # on the clock
    told: dict[str, Any]  # of the `asked` message
    began_ns: int = 0
    heard: bool = False  # its first audio was queued


@dataclass(slots=True)
class _Meter:
    """What the last second was like."""

    frames: int = 0
    age_ns: int = 0
    since_ns: int = 0


@dataclass(slots=True, eq=False)
class _Run:
    """One conversation from its first frame on: a recording starts another."""

    stages: Stages
    session: Session
    state: SessionState
    recording: LiveRecording | None = None


class LiveSession:
    """One wearer. Make it on the event loop, where all its public methods belong."""

    def __init__(self, parts: LiveParts, tell: Tell, clock: Clock) -> None:
        self._parts, self._tell, self._clock = parts, tell, clock
        self._loop = asyncio.get_running_loop()
        self._run: _Run | None = None  # made in the worker, with the first job
        self._renew: tuple[LiveRecording | None, str] | None = None  # start anew with the next job
        self._timeline = StreamTimeline()
        self._waiting: deque[_Turn] = deque()
        self._turns: dict[int, _Turn] = {}  # the latest few, for the times of their speech
        self._turn: _Turn | None = None  # being answered, by the worker
        self._busy = asyncio.Lock()  # one job of this session at a time
        self._ended = False
        self._failures = 0
        self._asked = 0
        self._cameras = 0
        self._source: FrameSource | None = None
        self._frame_ns = clock.now_ns()  # when the last frame came
        self._meter = _Meter(since_ns=clock.now_ns())
        self.voice: LiveVoice | None = None
        if parts.speaker is not None:
            self.voice = LiveVoice(
                parts.speaker,
                parts.speech_pool,
                clock,
                self._spoken,
                self._unspoken,
                parts.lead_in,
            )
            self.voice.on_spoken = lambda turn: self._tell("spoken", {"turn": turn})
        self._helpers = [asyncio.create_task(self._patrol())]
        if self.voice is not None:
            self._helpers.append(asyncio.create_task(self.voice.run()))

    @property
    def camera(self) -> bool:
        """Whether a camera is in use."""
        return self._source is not None

    @property
    def waiting(self) -> int:
        """Questions without an answer."""
        return len(self._waiting)

    def ask(self, ask: Ask | str, origin: str = "text") -> int:
        """Queue a question; what is being said is cut off. Returns the number of its turn.

        Raises PromptError when too many wait.
        """
        if len(self._waiting) >= MAX_WAITING:
            raise PromptError(f"expected at most {MAX_WAITING} waiting questions; ask again later")
        self.stop_speaking()
        self._asked += 1
        ask = Ask(ask) if isinstance(ask, str) else ask
        told: dict[str, Any] = {"turn": self._asked, "text": ask.text, "origin": origin}
        if ask.point is not None:
            told["point"] = list(ask.point)
        if ask.box is not None:
            told["box"] = list(ask.box)
        turn = _Turn(self._asked, ask, self._clock.now_ns(), told)
        self._waiting.append(turn)
        self._turns[turn.number] = turn
        self._turns.pop(turn.number - 2 * MAX_WAITING, None)
        if self.voice is not None:
            self.voice.begin()
        self._tell("asked", told)
        return turn.number

    def stop_speaking(self) -> None:
        """Silence, at once."""
        if self.voice is not None:
            self.voice.stop()

    def renew(self, recording: LiveRecording | None = None, reason: str = "asked for") -> None:
        """Start a new conversation, with nothing remembered; a recording ends, or starts with it.

        A recording that starts with the conversation can be replayed to the same answers.
        """
        self._renew = recording, reason

    def stop_recording(self, reason: str) -> None:
        """End the recording; the conversation goes on."""
        self._parts.lane.submit(lambda: self._stop_recording(reason))

    async def watch(self, source: FrameSource) -> None:
        """Live on a camera until its frames end or another takes its place.

        Raises PromptError when the models fail on every frame.
        """
        self._cameras += 1
        mine, self._source = self._cameras, source
        self._timeline.shift_ns = None
        self._tell("camera", {"on": True})
        try:
            async with aclosing(source.frames()) as frames:  # type: ignore[type-var]
                async for frame in frames:
                    if self._cameras != mine or self._ended:
                        return
                    self._frame_ns = self._clock.now_ns()
                    await self._work(frame)
                    if self._failures >= MAX_FAILURES:
                        raise PromptError("the models fail on every frame")
        finally:
            if self._cameras == mine:
                self._source = None
                self._tell("camera", {"on": False})

    async def close(self, reason: str = "the session has ended") -> None:
        """End: an answer stops at its next token, a recording is finished."""
        self._ended = True
        for helper in self._helpers:
            helper.cancel()
        await asyncio.gather(*self._helpers, return_exceptions=True)
        async with self._busy:
            if self._run is not None and self._run.recording is not None:
                await self._submit(lambda: self._stop_recording(reason))
        self._parts.lane.close()

    async def _submit(self, job: Callable[[], object], short: bool = False) -> None:
        await asyncio.wrap_future(self._parts.lane.submit(job, short))

    async def _work(self, frame: Frame) -> None:
        async with self._busy:
            renew, self._renew = self._renew, None
            if renew is not None:
                self._timeline = StreamTimeline()
            placed = self._timeline.place(frame, self._clock.now_ns())
            await self._submit(lambda: self._step(placed, renew), not self._waiting)

    def _prepare(self, renew: tuple[LiveRecording | None, str] | None) -> _Run:
        """In the worker: the conversation, a new one if asked for."""
        if self._run is None or renew is not None:
            if self._run is not None and renew is not None:
                self._stop_recording(renew[1])
            stages = self._parts.make_stages()
            session = Session(stages, self, self._parts.config)
            self._run = _Run(stages, session, session.init_state(), renew[0] if renew else None)
            if renew is not None:
                self._post("forgot", {})
            if self._run.recording is not None:
                self._post("recording", {"on": True, "id": self._run.recording.id})
        return self._run

    def _step(self, frame: Frame, renew: tuple[LiveRecording | None, str] | None) -> None:
        """In the worker: one frame, and at most one question."""
        if self._ended:
            return
        try:
            run = self._prepare(renew)
            if run.recording is not None:
                run.recording.frame(frame)
        except Exception as error:
            self._fail(error)
            return
        self._answering(frame, lambda due: run.session.step(run.state, frame, due))

    def _answering(self, frame: Frame, work: Callable[[deque[Question]], None]) -> None:
        """Do `work` with the question that is next, if any."""
        turn = self._waiting[0] if self._waiting else None
        due: deque[Question] = deque()
        try:
            if turn is not None:
                self._turn, turn.began_ns = turn, self._clock.now_ns()
                question = turn.ask.question(frame.pts_ns, frame.size)
                due.append(question)
                if self._run is not None and self._run.recording is not None:
                    self._run.recording.question(question)
                    self._run.recording.message("asked", turn.told, frame.pts_ns)
                self._post("started", {"pts_ms": frame.pts_ns // NS_PER_MS})
            work(due)
            self._failures = 0
        except ChannelClosed:
            return  # ended in mid-answer
        except Exception as error:  # whatever a model does, the session goes on
            due.clear()
            self._fail(error)
        finally:
            if turn is not None and not due:
                self._waiting.popleft()
            self._turn = None

    def _fail(self, error: Exception) -> None:
        self._failures += 1
        if isinstance(error, FovealError):
            reason = str(error)
        else:
            logger.exception("a frame failed", exc_info=error)
            reason = type(error).__name__
        self._post("refused", {"cause": "internal", "reason": reason})
        if self._run is not None and self._run.recording is not None:
            self._stop_recording(f"a frame failed: {reason}")

    def _stop_recording(self, reason: str) -> None:
        run = self._run
        if run is None or run.recording is None:
            return
        recording, run.recording = run.recording, None
        try:
            recording.close(reason)
        except FovealError as error:
            reason = str(error)
        data = {"on": False, "id": recording.id, "reason": reason}
        self._loop.call_soon_threadsafe(self._tell, "recording", data)

    async def _patrol(self) -> None:
        """Questions while the camera pauses, and numbers once a second."""
        while True:
            await self._clock.sleep_until(self._clock.now_ns() + PATROL_NS)
            now_ns = self._clock.now_ns()
            if now_ns - self._meter.since_ns >= STATS_NS:
                self._tell_numbers(now_ns)
            paused = self._source is None or now_ns - self._frame_ns > PAUSED_NS
            if not paused or self._busy.locked():
                continue
            if self._waiting:
                await self._answer_paused()
            elif self._renew is not None and self._run is not None:
                await self._renew_paused()

    async def _renew_paused(self) -> None:
        async with self._busy:
            renew, self._renew = self._renew, None
            self._timeline = StreamTimeline()
            await self._submit(lambda: self._prepare(renew))

    async def _answer_paused(self) -> None:
        """About the last frame that was seen, or not at all."""
        run = self._run
        last = None if run is None or self._renew is not None else run.state.last
        if run is None or last is None:
            turn = self._waiting.popleft()
            reason = "no picture has come yet; start the camera and ask again"
            self._tell("refused", {"turn": turn.number, "cause": "question", "reason": reason})
            return
        frame = last

        def answer(due: deque[Question]) -> None:
            run.session.answer_late(run.state, due)
            regions = regions_data(run.state.regions, frame.pts_ns, frame.size, 0)
            self._post("regions", regions)

        async with self._busy:
            await self._submit(lambda: self._answering(frame, answer))

    def _tell_numbers(self, now_ns: int) -> None:
        meter, run = self._meter, self._run
        self._meter = _Meter(since_ns=now_ns)
        stats = getattr(self._source, "stats", None)
        data = {
            "fps": round(meter.frames * NS_PER_S / (now_ns - meter.since_ns), 1),
            "age_ms": meter.age_ns // NS_PER_MS,
            "masklets": 0 if run is None else run.stages.masklets.live,
            "keyframes": 0 if run is None else run.state.keyframe_count,
            "waiting": len(self._waiting),
            "dropped": dict(stats().dropped) if stats is not None else {},
        }
        self._tell("stats", data)

    # From here on: what the session makes, in the worker thread.

    def frame(self, frame: Frame, regions: tuple[Region, ...], keyframe: Keyframe | None) -> None:
        """SessionSink: one frame is done."""
        age_ns = max(0, self._clock.now_ns() - frame.arrival_ns)
        self._meter.frames += 1
        self._meter.age_ns = max(self._meter.age_ns, age_ns)
        self._post("regions", regions_data(regions, frame.pts_ns, frame.size, age_ns))

    def event(self, event: AnswerEvent) -> None:
        """SessionSink: pass one event on; raises ChannelClosed once the session has ended."""
        if self._ended:
            raise ChannelClosed("the session has ended")
        if self._turn is not None:
            self._parts.lane.give_way()
        if event.kind in ("region", "end", "question"):
            return  # told with all others of the frame, and with the whole answer
        self._post(event.kind, {"pts_ms": event.stream_ns // NS_PER_MS, **event.data})

    def answer(self, answer: Answer, frame: Frame, regions: tuple[Region, ...]) -> None:
        """SessionSink: an answer is finished."""
        timings = {name: taken / NS_PER_MS for name, taken in answer.timings_ns.items()}
        if self._turn is not None:
            now_ns = self._clock.now_ns()
            timings["waited"] = (self._turn.began_ns - self._turn.asked_ns) / NS_PER_MS
            timings["turn"] = (now_ns - self._turn.asked_ns) / NS_PER_MS
        timings = {name: round(taken, 1) for name, taken in timings.items()}
        if self._run is not None and self._run.recording is not None:
            self._run.recording.answer(answer)
        data = {"pts_ms": frame.pts_ns // NS_PER_MS, "size": list(frame.size)}
        self._post("end", {**data, **answer_data(answer), "timings_ms": timings})

    def _post(self, kind: str, data: dict[str, Any]) -> None:
        """From the worker to the loop, in order."""
        if self._turn is not None and kind not in ("regions", "keyframe"):
            data = {"turn": self._turn.number, **data}
        if self._run is not None and self._run.recording is not None:
            last = self._run.state.last
            self._run.recording.message(kind, data, 0 if last is None else last.pts_ns)
        self._loop.call_soon_threadsafe(self._deliver, kind, data)

    def _deliver(self, kind: str, data: dict[str, Any]) -> None:
        if self._ended:
            return
        self._tell(kind, data)
        if self.voice is None or data.get("turn") != self._asked:
            return  # an answer to an earlier question is no longer spoken
        if kind == "token" and data["spoken"]:
            self.voice.feed(data["turn"], data["text"])
        elif kind == "end":
            self.voice.finish(data["turn"])

    def _spoken(self, turn: int, seconds: float) -> None:
        known = self._turns.get(turn)
        data: dict[str, Any] = {"turn": turn, "duration_s": round(seconds, 2)}
        if known is not None and not known.heard:
            known.heard = True
            data["first_ms"] = round((self._clock.now_ns() - known.asked_ns) / NS_PER_MS, 1)
        self._tell("speech", data)

    def _unspoken(self, turn: int, reason: str) -> None:
        self._tell("refused", {"turn": turn, "cause": "speech", "reason": reason})
