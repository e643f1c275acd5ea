"""A listener: blocks of sound in; who speaks when, and the words, out.

    listener = SpeechListener(SileroDetector(), WhisperTranscriber(folder), on_event, clock)
    listener.feed(pcm, pts_ns, rate_hz=48_000)   # per 20 ms block, on the event loop; 0.2 ms
    listener.press(); listener.release()         # push-to-talk, in any mode
    await listener.drain()                       # until nothing is being transcribed
    await listener.close()                       # ends the open utterance, waits for its words

`on_event` is called on the event loop, in order, with the events of `speech_events`. Each
SpeechStarted is followed by one SpeechEnded, and that by one FinalTranscript, Refused or Woken.

`pcm` is int16 or float (-1..1), [N] or [N, channels]; times are stream times in ns. `pool` runs the
transcriber, one utterance of this listener at a time; several listeners may share it. Nothing
waits: what cannot be transcribed in time is dropped and counted in `stats().dropped` by cause.
"""

import asyncio
import logging
from collections import Counter
from concurrent.futures import Executor
from dataclasses import dataclass, field

from devices.audio.pcm import RawSound, Sound
from devices.listening.endpointing import (
    EndpointConfig,
    Hint,
    SpeechLulled,
    SpeechPaused,
    SpeechResumed,
)
from devices.listening.speech_events import (
    DraftTranscript,
    FinalTranscript,
    OnListen,
    PartialTranscript,
    Refused,
    SpeechEnded,
    SpeechStarted,
    Woken,
)
from devices.listening.speech_segmenter import SegmentEvent, SpeechSegmenter, WindowGate
from devices.listening.transcription_jobs import MAX_WAITING, Job, JobQueue, Utterance
from devices.listening.turn_end import TurnDetector, weigh
from devices.listening.vad import VoiceDetector
from devices.listening.whisper import GuardConfig, Transcriber, Transcript, doubt
from devices.listening.wording import after_wake_phrase, ending
from stream.clock import NS_PER_MS, NS_PER_S, Clock
from stream.errors import ConfigError, DeviceError

logger = logging.getLogger(__name__)

AWAKE_NS = 8 * NS_PER_S  # after the wake phrase alone


@dataclass(frozen=True, slots=True)
class ListenConfig:
    """How turns are taken."""

    endpoint: EndpointConfig = field(default_factory=EndpointConfig)
    guard: GuardConfig = field(default_factory=GuardConfig)
    push_to_talk: bool = False  # hear only between `press` and `release`
    wake_phrase: str | None = None  # utterances without it are refused
    partial_every_ns: int | None = 640 * NS_PER_MS  # None: no partial transcripts
    drafts: bool = True  # transcribe at the first silence

    def __post_init__(self) -> None:
        if self.wake_phrase is not None and not any(map(str.isalnum, self.wake_phrase)):
            raise ConfigError(f"expected words as wake_phrase, got {self.wake_phrase!r}")
        if self.partial_every_ns is not None and self.partial_every_ns < 100 * NS_PER_MS:
            raise ConfigError(f"expected partial_every_ns >= 100 ms, got {self.partial_every_ns}")


@dataclass(frozen=True, slots=True)
class ListenStats:
    """A listener's numbers."""

    utterances: int
    transcriptions: int
    dropped: dict[str, int]  # what was not heard or not transcribed, by cause
    gaps: int
    echoes: int  # windows of 32 ms


class SpeechListener:
    """Listens to one stream; make and use it on one event loop."""

    def __init__(
        self,
        detector: VoiceDetector,
        transcriber: Transcriber,
        on_event: OnListen,
        clock: Clock,
        pool: Executor | None = None,
        config: ListenConfig | None = None,
        gate: WindowGate | None = None,
        turns: TurnDetector | None = None,
    ) -> None:
        """Without `turns` only the words tell whether a turn is over."""
        self.config = config or ListenConfig()
        self._turns, self._asking = turns, set[asyncio.Task[None]]()
        self._segmenter = SpeechSegmenter(
            detector, self.config.endpoint, self.config.push_to_talk, gate
        )
        self._jobs = JobQueue(transcriber, pool, self._heard)
        self._on_event, self._clock = on_event, clock
        self._open: Utterance | None = None
        self._awake_until_ns = -1
        self._utterances = 0
        self._dropped: Counter[str] = Counter()

    @property
    def talking(self) -> bool:
        """Whether somebody speaks, or has just stopped."""
        return self._segmenter.talking

    def stats(self) -> ListenStats:
        """The numbers so far."""
        heard = self._segmenter.stats
        more = {"stale draft": self._jobs.stale, "samples not finite": heard.broken}
        dropped = self._dropped + Counter(more)  # without zeros
        return ListenStats(
            self._utterances, self._jobs.done, dict(dropped), heard.gaps, heard.echoes
        )

    def feed(self, pcm: RawSound, pts_ns: int, rate_hz: int = 48_000) -> None:
        """Take the block of sound that begins at `pts_ns`; a malformed one is dropped, counted."""
        utterance = self._open
        hint: Hint = "unknown"
        if utterance is not None:
            hint = weigh(utterance.hint, utterance.chance, utterance.asked)
        try:
            heard = self._segmenter.hear(pcm, pts_ns, rate_hz, hint)
        except DeviceError as error:
            self._dropped["malformed"] += 1
            logger.debug("a block of sound was dropped: %s", error)
            return
        self._take(heard)
        self._wish_partial()

    def press(self) -> None:
        """Push-to-talk: an utterance begins with the next block."""
        self._segmenter.press()

    def release(self) -> None:
        """Push-to-talk: it ends."""
        self._take(self._segmenter.release())

    def pause(self) -> None:
        """No sound comes for now: what is open ends."""
        self._take(self._segmenter.stop("gap"))

    async def drain(self) -> None:
        """Wait until everything heard so far is transcribed."""
        await self._jobs.drain()
        await asyncio.gather(*self._asking)

    async def close(self) -> None:
        """The sound has ended: end the open utterance and wait for its words."""
        self._take(self._segmenter.stop())
        await self.drain()

    def cancel(self) -> None:
        """Forget everything that is under way; no more events."""
        self._on_event = lambda _: None
        self._segmenter.stop()
        self._jobs.clear()
        self._open = None

    def _take(self, heard: list[SegmentEvent]) -> None:
        for one in heard:
            event = one.event
            if isinstance(event, SpeechStarted):
                self._utterances += 1
                self._open = Utterance(event.at_ns, partial_ns=event.at_ns)
                self._on_event(event)
            elif isinstance(event, SpeechResumed) and self._open is not None:
                self._open.drafting, self._open.hint, self._open.chance = None, "unknown", None
            elif isinstance(event, SpeechLulled) and self._open is not None:
                assert one.sound is not None
                self._ask(self._open, event, one.sound)
            elif isinstance(event, SpeechPaused) and self._open is not None and self.config.drafts:
                assert one.sound is not None
                self._open.drafting = Job("draft", self._open, one.sound, event.since_ns)
                self._put(self._open.drafting)
            elif isinstance(event, SpeechEnded):
                assert one.sound is not None
                self._end(event, one.sound)

    def _ask(self, utterance: Utterance, lull: SpeechLulled, sound: Sound) -> None:
        """Ask the voice whether its turn is over, beside the transcription of the words."""
        if self._turns is None or self._asking:
            return  # one at a time: a lull that begins while one is asked about goes by its words
        turns = self._turns

        async def ask() -> None:
            try:
                chance = await asyncio.to_thread(turns.chance, sound)
            except Exception:  # third-party code: the words still tell
                self._dropped["turn not judged"] += 1
                logger.exception("the end of a turn could not be judged")
                return
            if self._open is utterance and self._segmenter.lull_ns == lull.since_ns:
                utterance.chance = chance

        task = asyncio.get_running_loop().create_task(ask())
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    def _end(self, event: SpeechEnded, sound: Sound) -> None:
        utterance, self._open = self._open, None
        if utterance is None:
            return
        utterance.ended, utterance.ended_at_ns = event, self._clock.now_ns()
        self._on_event(event)
        draft = utterance.drafting
        if draft is not None and draft.until_ns == event.ended_ns:
            draft.kind = "final"
            if draft.heard is not None:
                self._finish(draft, draft.heard, drafted=True)
            return
        self._put(Job("final", utterance, sound, event.ended_ns))

    def _wish_partial(self) -> None:
        """Transcribe what was said so far, if the transcriber has nothing better to do."""
        utterance, every_ns = self._open, self.config.partial_every_ns
        if utterance is None or every_ns is None or self._segmenter.silent or self._jobs.busy:
            return
        if self._segmenter.now_ns - utterance.partial_ns >= every_ns:
            utterance.partial_ns = self._segmenter.now_ns
            self._put(Job("partial", utterance, self._segmenter.sound(), self._segmenter.now_ns))

    def _put(self, job: Job) -> None:
        if self._jobs.put(job):
            return
        if job.kind == "final":
            self._dropped["busy"] += 1
            self._refuse(job, "busy", f"more than {MAX_WAITING} utterances wait")
        elif job.utterance.drafting is job:
            job.utterance.drafting = None

    def _heard(self, job: Job, heard: Transcript | None) -> None:
        """What a job has come to; None when the transcriber failed."""
        if heard is None:
            self._dropped["failed"] += 1
            if job.utterance.drafting is job:
                job.utterance.drafting = None  # the end of the utterance tries again
            if job.kind == "final":
                self._refuse(job, "failed", "the transcriber failed")
            return
        job.heard = heard
        if job.kind == "final":
            self._finish(job, heard, drafted=False)
        elif job.utterance.ended is None:
            self._tell(job, heard)

    def _tell(self, job: Job, heard: Transcript) -> None:
        """A transcript of an utterance that is still open."""
        if doubt(heard, self.config.guard) is not None:
            return
        utterance = job.utterance
        utterance.agreement = utterance.agreement.step(heard.text)
        if utterance.drafting is not job:
            self._on_event(PartialTranscript(heard.text, utterance.agreement.text, job.until_ns))
            return
        utterance.hint = ending(heard.text)
        utterance.asked = heard.text.rstrip().endswith("?")
        text = self._addressed(heard.text, utterance.started_ns)
        if text and utterance.hint != "unfinished":
            self._on_event(DraftTranscript(text, utterance.started_ns, job.until_ns))
        else:
            self._on_event(PartialTranscript(heard.text, utterance.agreement.text, job.until_ns))

    def _finish(self, job: Job, heard: Transcript, drafted: bool) -> None:
        """The words of an utterance that has ended."""
        utterance, ended = job.utterance, job.utterance.ended
        assert ended is not None
        cause = doubt(heard, self.config.guard)
        if cause is not None:
            self._refuse(job, cause, f"{cause}: {heard.text[:80]!r}")
            return
        text = self._addressed(heard.text, utterance.started_ns)
        if text is None:
            self._refuse(job, "wake", f"expected {self.config.wake_phrase!r} first")
            return
        if not text:
            self._awake_until_ns = ended.decided_ns + AWAKE_NS
            self._on_event(Woken(ended.decided_ns))
            return
        self._awake_until_ns = -1
        timings = {
            "endpoint": ended.decided_ns - ended.ended_ns,
            "transcription": self._clock.now_ns() - utterance.ended_at_ns,
        }
        times = ended.started_ns, ended.ended_ns, ended.decided_ns
        self._on_event(FinalTranscript(text, *times, timings, drafted))

    def _addressed(self, text: str, started_ns: int) -> str | None:
        """The words that are for us: None when the wake phrase is missing."""
        if self.config.wake_phrase is None:
            return text
        rest = after_wake_phrase(text, self.config.wake_phrase)
        if rest is None and started_ns <= self._awake_until_ns:
            return text
        return rest

    def _refuse(self, job: Job, cause: str, reason: str) -> None:
        ended = job.utterance.ended
        assert ended is not None
        self._on_event(Refused(cause, reason, ended.started_ns, ended.ended_ns))
