"""The chain that `voice_turn` measures: the product's parts around one photograph, in real time."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import numpy as np

from benchmarks.voice_path import SoundPath
from benchmarks.voice_questions import Spoken
from devices.audio.pcm import Pcm, RawSound
from devices.listening.barge_in import BargeIn
from devices.listening.listener import ListenConfig, SpeechListener
from devices.listening.speech_events import FinalTranscript, ListenEvent, Refused, SpeechStarted
from devices.speaking.speaker import Speaker
from devices.webrtc.tracks import FRAME_NS, FRAME_SAMPLES, RATE_HZ, QueuedSpeech, SpeechTrack
from foveal.live.speech.voice import LiveVoice
from foveal.setup.hearing import Hearing
from perception.scene.reader import SceneView
from reasoning.generation.conversation import Assistant
from stream.clock import NS_PER_MS, NS_PER_S, MonotonicClock
from stream.events import AnswerEvent, Question

QUIET = 40  # of 32767: softer samples cannot be heard
LONGEST_NS = 60 * NS_PER_S  # to wait for an answer, on however slow a machine
PLAYED_S = 12.0  # of our own speech, to be interrupted


class TimedTrack(SpeechTrack):
    """A track that knows what it was given."""

    def __init__(self, clock: MonotonicClock) -> None:
        super().__init__(clock)
        self.said: list[QueuedSpeech] = []

    def say(self, audio: Pcm, rate_hz: int) -> QueuedSpeech:
        """Queue, and remember."""
        utterance = super().say(audio, rate_hz)
        self.said.append(utterance)
        return utterance


@dataclass(slots=True, eq=False)
class Turn:
    """One question; times are from the last audible sample of it, ns."""

    spoken: Spoken
    heard: str = ""
    said: str = ""
    drafted: bool = False
    led_in: bool = False
    first_audio_ns: int | None = None
    first_answer_ns: int | None = None
    parts_ns: dict[str, int] = field(default_factory=dict)

    def line(self) -> str:
        """For people."""
        parts = ", ".join(f"{name} {taken // NS_PER_MS}" for name, taken in self.parts_ns.items())
        first = (self.first_audio_ns or 0) // NS_PER_MS, (self.first_answer_ns or 0) // NS_PER_MS
        return f"{first} ms [{parts}] {self.spoken.voice}: {self.heard!r} -> {self.said[:60]!r}"


@dataclass(frozen=True, slots=True)
class Interruption:
    """How our voice stopped."""

    stopped: bool
    detect_ns: int = 0  # from the first audible sample of the wearer's to the decision
    heard_after_ns: int = 0  # of our voice, after the decision
    lost_ns: int = 0  # of our voice, never heard


@dataclass(slots=True, eq=False)
class _Marks:
    """When things of one turn happened, on the clock."""

    final: FinalTranscript | Refused | None = None
    final_ns: int = 0
    words_ns: int | None = None  # first words of the answer
    made_ns: int | None = None  # its first audio was queued
    lead: int = 0  # utterances of the lead-in
    started_ns: int | None = None
    audible: list[tuple[int, bool]] = field(default_factory=list)  # when, of the answer itself
    text: str = ""
    answered: asyncio.Event = field(default_factory=asyncio.Event)


class Chain:
    """Everything between a microphone and a loudspeaker."""

    def __init__(
        self,
        hearing: Hearing,
        assistant: Assistant,
        view: SceneView,
        speaker: Speaker,
        brain: Executor,
        lips: Executor,
        path: SoundPath | None = None,
    ) -> None:
        self._path = path  # None: the microphone is beside the listener
        self._hearing, self._assistant, self._view = hearing, assistant, view
        self._speaker, self._brain, self._lips = speaker, brain, lips
        self.clock = MonotonicClock()
        self.track = TimedTrack(self.clock)
        self.marks = _Marks()
        self.answering = True
        self._at_ns = 0  # stream time of the microphone

    @asynccontextmanager
    async def running(self, config: ListenConfig, lead_in: str | None) -> AsyncIterator[None]:
        """Listen, speak and play until the end of the block."""
        self.voice = LiveVoice(
            self._speaker, self._lips, self.clock, self._spoken, _failed, lead_in
        )
        self.voice.attach(self.track)
        self.barge = BargeIn(self.track)
        self.listener: SpeechListener = self._hearing.listener(self._heard, self.clock, config)
        if self._path is not None:
            self._path.on_sound = self._came
        tasks = [asyncio.create_task(self.voice.run()), asyncio.create_task(self._play())]
        await asyncio.sleep(0.5)  # the lead-in is being made
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(*tasks)

    async def feed(self, sound: Pcm) -> int:
        """Real time: a block every 20 ms. Returns when the first sample was "captured"."""
        began_ns = self.clock.now_ns()
        for at in range(0, len(sound), FRAME_SAMPLES):
            block = sound[at : at + FRAME_SAMPLES]
            end_ns = (at + len(block)) * NS_PER_S // RATE_HZ
            await self.clock.sleep_until(began_ns + end_ns)  # it is captured when it is over
            if self._path is None:
                self._came(block, self._at_ns + at * NS_PER_S // RATE_HZ, RATE_HZ)
            else:
                self._path.send(block)
        self._at_ns += len(sound) * NS_PER_S // RATE_HZ
        return began_ns

    def _came(self, sound: RawSound, pts_ns: int, rate: int) -> None:
        """Sound has reached us."""
        self.listener.feed(sound, pts_ns, rate)
        self.barge.tick(pts_ns + len(sound) * NS_PER_S // rate)

    def _heard(self, event: ListenEvent) -> None:
        now_ns, marks = self.clock.now_ns(), self.marks
        if isinstance(event, SpeechStarted) and marks.started_ns is None:
            marks.started_ns = now_ns
        self.barge.handle(event)
        if not isinstance(event, FinalTranscript | Refused) or marks.final is not None:
            return
        marks.final, marks.final_ns = event, now_ns
        if isinstance(event, Refused) or not self.answering:
            marks.answered.set()
            return
        self.voice.cut_off()
        self.voice.waited(sum(event.timings_ns.values()))
        self.voice.begin()
        loop = asyncio.get_running_loop()
        self._brain.submit(self._answer, event.text, marks, loop)

    def _answer(self, text: str, marks: _Marks, loop: asyncio.AbstractEventLoop) -> None:
        """In the assistant's thread."""

        def take(event: AnswerEvent) -> None:
            if event.kind == "token" and event.data["spoken"]:
                loop.call_soon_threadsafe(self._words, marks, event.data["text"])

        self._assistant.forget()
        try:
            answer = self._assistant.ask(Question(text, 0), self._view, take)
            marks.text = answer.text
        finally:
            loop.call_soon_threadsafe(self._done, marks)

    def _words(self, marks: _Marks, words: str) -> None:
        if marks.words_ns is None and words.strip():
            marks.words_ns = self.clock.now_ns()
        self.voice.feed(1, words)

    def _done(self, marks: _Marks) -> None:
        self.voice.finish(1)
        marks.answered.set()

    def _spoken(self, turn: int, sentence: str, seconds: float) -> None:
        if self.marks.made_ns is None:
            self.marks.made_ns, self.marks.lead = self.clock.now_ns(), len(self.track.said) - 1

    async def _play(self) -> None:
        """What aiortc's sender does."""
        while True:
            frame = await self.track.recv()
            if np.max(np.abs(frame.to_ndarray())) > QUIET:
                own = any(one.sent > 0 for one in self.track.said[self.marks.lead :])
                of_answer = own and self.marks.made_ns is not None
                self.marks.audible.append((self.clock.now_ns(), of_answer))


async def take_turn(chain: Chain, spoken: Spoken) -> Turn:
    """Ask one question and wait until its answer begins to be heard."""
    chain.voice.cut_off()
    chain.track.said.clear()
    marks = chain.marks = _Marks()
    end_ns = await chain.feed(spoken.sound) + spoken.end_ns
    while not _heard_enough(marks) and chain.clock.now_ns() - end_ns < LONGEST_NS:
        await chain.feed(np.zeros(FRAME_SAMPLES * 5, np.int16))
    turn = Turn(spoken, said=marks.text)
    if not isinstance(marks.final, FinalTranscript):
        return turn
    turn.heard, turn.drafted = marks.final.text, marks.final.drafted
    own = [at_ns for at_ns, of_answer in marks.audible if of_answer]
    if own and marks.words_ns is not None and marks.made_ns is not None:
        turn.first_audio_ns, turn.first_answer_ns = marks.audible[0][0] - end_ns, own[0] - end_ns
        turn.led_in = not marks.audible[0][1]
        decided_ns = marks.final_ns - marks.final.timings_ns["transcription"]
        times = [end_ns, decided_ns, marks.final_ns, marks.words_ns, marks.made_ns, own[0]]
        names = ("endpoint", "transcription", "words", "synthesis", "playout")
        steps = zip(times[1:], times, strict=False)
        turn.parts_ns = {
            name: later - earlier for name, (later, earlier) in zip(names, steps, strict=True)
        }
    return turn


def _heard_enough(marks: _Marks) -> bool:
    if not marks.answered.is_set():
        return False
    return isinstance(marks.final, Refused) or any(own for _, own in marks.audible)


async def interrupt(chain: Chain, spoken: Spoken) -> Interruption:
    """Speak into our own long speech."""
    chain.voice.cut_off()
    chain.answering = False
    marks = chain.marks = _Marks()
    times = np.arange(round(PLAYED_S * RATE_HZ))
    ours = chain.track.say((8000 * np.sin(times * 0.05)).astype(np.int16), RATE_HZ)
    began_ns = await chain.feed(spoken.sound)
    while marks.final is None and chain.clock.now_ns() - began_ns < spoken.end_ns + 3 * NS_PER_S:
        await chain.feed(np.zeros(FRAME_SAMPLES * 5, np.int16))
    if marks.started_ns is None or ours.cut is False:
        await chain.feed(np.zeros(RATE_HZ * 2, np.int16))  # it goes on
        sent = ours.sent
        await chain.feed(np.zeros(RATE_HZ // 5, np.int16))
        lost_ns = 0 if ours.sent > sent else (len(ours.samples) - ours.sent) * NS_PER_S // RATE_HZ
        return Interruption(False, lost_ns=lost_ns)
    after = [at_ns for at_ns, _ in marks.audible if at_ns > marks.started_ns]
    detect_ns = marks.started_ns - began_ns - spoken.start_ns
    return Interruption(True, detect_ns, len(after) * FRAME_NS)


def _failed(turn: int, reason: str) -> None:
    raise RuntimeError(f"turn {turn} could not be spoken: {reason}")
