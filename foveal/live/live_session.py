"""One live session: the freshest frames in; masklets, answers and speech out.

The event loop moves media and messages; frames go through the models on the shared worker, one at
a time (`foveal.live.conversation`), and answers are made beside it, so no mask waits for one. What
cannot be kept up with is dropped before it: when a session's turn comes, it takes the newest
picture there is. A session outlives its connections: another camera may take over, and stream time
goes on.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import aclosing

from foveal.live.camera_watch import STALLED, CameraWatch, aged
from foveal.live.conversation import Conversation, Meter, Renewal
from foveal.live.memory.forget_request import forget_request
from foveal.live.memory.live_memory import NOT_REMEMBERED, REMEMBERED, LiveMemory
from foveal.live.parts import LiveParts
from foveal.live.protocol import server
from foveal.live.protocol.parts import PointedQuestion
from foveal.live.recording import FileRecording
from foveal.live.speech.voice import LiveVoice
from foveal.live.timeline import StreamTimeline, captured_ns
from foveal.live.turns import LiveTurn
from foveal.live.view import LiveView
from retrieval.memory.disk.forgetting import Forgotten
from stream.clock import NS_PER_MS, NS_PER_S, Clock
from stream.errors import PromptError
from stream.frame import Frame, FrameSource
from stream.outgoing import heard_by

MAX_WAITING = 4  # questions
MAX_FAILURES = 20  # frames in a row that no model could take
PATROL_NS = 250 * NS_PER_MS
STATS_NS = NS_PER_S
ENDED = "its pictures have ended"  # a camera that does not say why it went
NO_ANSWER = " No answer came."  # said in its place
NO_ANSWERS = ("question", "internal")  # causes of a refusal that the wearer hears of
PAUSED_NS = 2 * NS_PER_S  # no frame for so long: questions are about the last one

Tell = Callable[[server.ServerMessage], None]  # called on the event loop


class LiveSession:
    """One wearer. Make it on the event loop, where all its public methods belong."""

    def __init__(self, parts: LiveParts, tell: Tell, clock: Clock) -> None:
        self._parts, self._tell, self._clock = parts, tell, clock
        self._loop = asyncio.get_running_loop()
        meter = Meter(since_ns=clock.now_ns())
        self.view = LiveView(parts.view_pool, clock)
        self._talk = Conversation(parts, self._post, self._all_worded, clock, meter, self.view)
        self._renew: Renewal | None = None  # start anew with the next job
        self._timeline = StreamTimeline()
        self._turns: dict[int, LiveTurn] = {}  # the latest few, for the times of their speech
        self._busy = asyncio.Lock()  # one job of this session at a time
        self._asked = 0
        self._cameras = 0
        self._placed = 0  # the camera that the worker saw last
        self._skipped = 0  # frames of the camera that a newer one replaced while they waited
        self._source: FrameSource | None = None
        self._pictures = CameraWatch(clock.now_ns())
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
            self.voice.on_spoken = lambda turn: self._tell(server.SpokenMessage(turn=turn))
            self.voice.on_cut = self.view.hush
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
        return len(self._talk.waiting)

    def ask(self, asked: PointedQuestion | str, origin: server.Origin = "text") -> int:
        """Queue a question; the answer that is being made or said is cut off.

        Returns the number of its turn. Raises PromptError when too many wait.
        """
        if len(self._talk.waiting) >= MAX_WAITING:
            raise PromptError(f"expected at most {MAX_WAITING} waiting questions; ask again later")
        self.stop_speaking("another question was asked")
        self._asked += 1
        asked = PointedQuestion(text=asked) if isinstance(asked, str) else asked
        told = server.AskedMessage(
            turn=self._asked,
            text=asked.text,
            origin=origin,
            point=asked.point if asked.box is None else None,
            box=asked.box,
        )
        turn = LiveTurn(told, self._clock.now_ns())
        self._talk.waiting.append(turn)
        self._turns[told.turn] = turn
        self._turns.pop(told.turn - 2 * MAX_WAITING, None)
        self.view.ask(asked.text)
        if self.voice is not None:
            self.voice.begin()
        self._tell(told)
        return told.turn

    def stop_speaking(self, reason: str = "it was stopped") -> None:
        """Silence, at once; the answer that is being made ends at its next token."""
        self._talk.stop(reason)
        self.hush()

    def hush(self) -> None:
        """Silence, at once; an answer goes on as text."""
        if self.voice is None:
            self.view.hush()
        else:
            self.voice.cut_off()

    def renew(self, recording: FileRecording | None = None, reason: str = "asked for") -> None:
        """Start a new conversation, with nothing remembered; a recording ends, or starts with it.

        A recording that starts with the conversation can be replayed to the same answers.
        """
        self._renew = recording, reason

    @property
    def remembered(self) -> bool:
        """Whether what is seen now is remembered."""
        return self._parts.memory is not None and self._parts.memory.running

    def wished_gone(self, text: str) -> int | None:
        """Since when (Unix ns) a wish wants the memory to forget; None for any other words."""
        memory = self._parts.memory
        if memory is None or not memory.allowed():
            return None
        return forget_request(text, memory.wall.now_ns())

    def remember(self, on: bool) -> None:
        """Remember what is seen, or no longer; raises PromptError where nothing may be."""
        self._memory.switch(on)
        self._tell(server.MemoryMessage(on=on))

    def forget(self, last_s: float | None = None, since_ns: int | None = None) -> None:
        """Start anew, and forget of the memory what it has of the last seconds, or everything.

        All are told when it is gone. Raises PromptError where nothing is remembered.
        """
        done = self._memory.forget(last_s, since_ns)
        self.renew(None, "what was remembered is forgotten")
        done.add_done_callback(lambda one: self._loop.call_soon_threadsafe(self._forgotten, one))

    def _forgotten(self, done: Future[Forgotten]) -> None:
        error = done.exception()
        if error is not None:
            self._tell(server.RefusedMessage(cause="memory", reason=str(error)))
            said = "I could not forget it."
        else:
            self._tell(server.ForgotMessage(events=done.result().events))
            said = "It is forgotten."
        self._notice(said)

    def _notice(self, words: str) -> None:
        if self.voice is not None:
            self.voice.notice(words)

    @property
    def _memory(self) -> LiveMemory:
        if self._parts.memory is None:
            raise PromptError("nothing is remembered on this server (`foveal serve --remember`)")
        return self._parts.memory

    def tell_watches(self) -> None:
        """Tell what is watched for."""
        self._parts.lane.submit(self._talk.watches)

    def unwatch(self, watch: int | None) -> None:
        """Watch for something no longer; None: for nothing any more."""
        self._parts.lane.submit(lambda: self._talk.watches(watch, everything=watch is None))

    def stop_recording(self, reason: str) -> None:
        """End the recording; the conversation goes on."""
        self._parts.lane.submit(lambda: self._talk.stop_recording(reason))

    async def watch(
        self, source: FrameSource, steady: bool = True, why: Callable[[], str | None] | None = None
    ) -> bool:
        """Live on a camera until its frames end, or another takes its place: then True.

        `steady`: its pictures are meant to come without a pause; one that does not send them is
        told. `why` it has ended, once it has. Raises PromptError when the models fail on every
        frame.
        """
        self._cameras += 1
        mine, self._source = self._cameras, source
        self._skipped = 0
        self._pictures.begin(self._clock.now_ns(), steady)
        self._tell(server.CameraMessage(on=True))
        try:
            async with aclosing(source.frames()) as frames:  # type: ignore[type-var]
                async for frame in frames:
                    if self._cameras != mine or self._talk.ended:
                        return not self._talk.ended
                    if self._pictures.came(self._clock.now_ns()):
                        self._tell(server.CameraMessage(on=True))
                    await self._work(frame, source, mine)
                    self._pictures.done(self._clock.now_ns())
                    if self._talk.failures >= MAX_FAILURES:
                        raise PromptError("the models fail on every frame")
            return False
        finally:
            if self._cameras == mine:
                self._source = None
                reason = (None if why is None else why()) or ENDED
                self._tell(server.CameraMessage(on=False, reason=reason))

    async def close(self, reason: str = "the session has ended") -> None:
        """End: an answer stops at its next token, a recording is finished."""
        self._talk.ended = True
        self._talk.stop(reason)
        for helper in self._helpers:
            helper.cancel()
        await asyncio.gather(*self._helpers, return_exceptions=True)
        async with self._busy:
            if self._talk.run is not None and self._talk.run.recording is not None:
                await self._submit(lambda: self._talk.stop_recording(reason))
        if self._parts.memory is not None:
            self._parts.memory.close()
        self._parts.lane.close()

    async def _submit(self, job: Callable[[], object]) -> None:
        def heard() -> None:
            with heard_by(self._talk.sent):
                job()

        await asyncio.wrap_future(self._parts.lane.submit(heard))

    async def _work(self, frame: Frame, source: FrameSource, camera: int) -> None:
        async with self._busy:
            renew, self._renew = self._renew, None
            if renew is not None:
                self._timeline = StreamTimeline()
            timeline = self._timeline

            def work() -> None:
                newest = self._newest(frame, source)
                if self._placed != camera:
                    self._placed, timeline.shift_ns = camera, None
                placed = timeline.place(newest, self._clock.now_ns())
                self._talk.step(placed, renew, captured_ns(source, newest))

            await self._submit(work)

    def _newest(self, frame: Frame, source: FrameSource) -> Frame:
        """In the worker, when the turn has come: others had theirs meanwhile, and time went on."""
        newer = getattr(source, "newer", None)
        fresh: Frame | None = None if newer is None else newer()
        if fresh is None:
            return frame
        self._skipped += 1
        return fresh

    async def _patrol(self) -> None:
        """Questions and captions while the camera pauses, and numbers once a second."""
        while True:
            await self._clock.sleep_until(self._clock.now_ns() + PATROL_NS)
            self.view.refresh()
            self._talk.lose_patience()
            now_ns = self._clock.now_ns()
            if now_ns - self._talk.meter.since_ns >= STATS_NS:
                self._tell_numbers(now_ns)
            if self._busy.locked():
                continue
            if self._source is not None and self._pictures.stalls(now_ns):
                self._tell_stall()
            if self._source is not None and now_ns - self._pictures.since_ns <= PAUSED_NS:
                continue
            if self._talk.waiting and self._talk.job is None:
                await self._answer_paused()
            elif self._renew is not None and self._talk.run is not None:
                await self._renew_paused()

    def _tell_stall(self) -> None:
        """A camera that says that it streams sends nothing: told to all, and said once."""
        self._tell(server.CameraMessage(on=True, stalled=True, reason=STALLED))
        if self.voice is not None:
            self.voice.notice(STALLED)

    async def _renew_paused(self) -> None:
        async with self._busy:
            renew, self._renew = self._renew, None
            self._timeline = StreamTimeline()
            await self._submit(lambda: self._talk.prepare(renew))

    async def _answer_paused(self) -> None:
        """About the last frame that was seen, or not at all."""
        run = self._talk.run
        if run is None or self._renew is not None or run.state.last is None:
            turn = self._talk.waiting.popleft()
            reason = "no picture has come yet; start the camera and ask again"
            self._tell(server.RefusedMessage(turn=turn.told.turn, cause="question", reason=reason))
            return
        async with self._busy:
            await self._submit(lambda: self._talk.look(paused=True))

    def _tell_numbers(self, now_ns: int) -> None:
        meter, run = self._talk.meter, self._talk.run
        self._talk.meter = Meter(since_ns=now_ns)
        stats = getattr(self._source, "stats", None)
        dropped = Counter(stats().dropped if stats is not None else {})
        dropped["superseded"] += self._skipped
        message = server.StatsMessage(
            fps=round(meter.frames * NS_PER_S / (now_ns - meter.since_ns), 1),
            age_ms=(meter.age_ns if meter.frames else self._pictures.age_ns(now_ns)) // NS_PER_MS,
            masklets=0 if run is None else run.stages.masklets.live,
            keyframes=0 if run is None else run.state.keyframe_count,
            waiting=len(self._talk.waiting),
            dropped={cause: count for cause, count in dropped.items() if count},
        )
        self._tell(message)

    def _post(self, message: server.ServerMessage) -> None:
        """From the worker to the loop, in order."""
        self._loop.call_soon_threadsafe(self._deliver, message)

    def _deliver(self, message: server.ServerMessage) -> None:
        if self._talk.ended and not isinstance(message, server.RecordingMessage):
            return
        self._tell(message)
        if isinstance(message, server.MemoryMessage) and message.on:
            self._tell_remembered()
        if isinstance(message, server.EndMessage):
            turn = self._turns.get(message.turn)
            if turn is not None and not (self.voice and self.voice.audible):
                self.view.ask(turn.told.text)
                self.view.read(aged(message.age_ms) + message.text)
        elif isinstance(message, server.AlertMessage):
            if not message.silent:
                self._announce(message.text)
        elif isinstance(message, server.StartedMessage):
            self._say(message.turn, aged(message.age_ms))
        elif isinstance(message, server.TokenMessage) and message.spoken:
            self._say(message.turn, message.text)
        elif isinstance(message, server.RefusedMessage) and message.cause == "memory":
            self._notice(NOT_REMEMBERED)  # once for each time: the tap tells it so
        elif isinstance(message, server.RefusedMessage) and message.cause in NO_ANSWERS:
            number = message.turn or 0  # where it is no question's
            self._say(number, NO_ANSWER)
            self._worded(number)

    def _tell_remembered(self) -> None:
        """Said once a session, as the wearer may not look at a page."""
        if self.voice is not None and not self._memory.told:
            self._memory.told = True
            self.voice.notice(REMEMBERED)

    def _announce(self, words: str) -> None:
        """Say, or at least show, what nobody asked for just now."""
        if self.voice is not None:
            self.voice.notice(words)
        if not (self.voice and self.voice.audible):
            self.view.read(words)

    def _say(self, turn: int, words: str) -> None:
        """An answer to an earlier question is no longer spoken."""
        if self.voice is not None and turn == self._asked:
            self.voice.feed(turn, words)

    def _worded(self, turn: int) -> None:
        if self.voice is not None and turn == self._asked and not self._talk.ended:
            self.voice.finish(turn)

    def _all_worded(self, turn: int) -> None:
        """From an answer's thread to the loop, behind its tokens."""
        self._loop.call_soon_threadsafe(self._worded, turn)

    def _spoken(self, turn: int, sentence: str, seconds: float) -> None:
        now_ns = self._clock.now_ns()
        if self.voice is not None:
            start_ns = now_ns + round((self.voice.queued_s - seconds) * NS_PER_S)
            self.view.say(sentence, round(seconds * NS_PER_S), start_ns)
        known = self._turns.get(turn)
        first_ms = None
        if known is not None and not known.heard:
            known.heard = True
            first_ms = round((now_ns - known.asked_ns) / NS_PER_MS, 1)
        self._tell(server.SpeechMessage(turn=turn, duration_s=round(seconds, 2), first_ms=first_ms))

    def _unspoken(self, turn: int, reason: str) -> None:
        self._tell(server.RefusedMessage(turn=turn, cause="speech", reason=reason))
