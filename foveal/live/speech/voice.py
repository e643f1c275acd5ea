"""Answers spoken as they stream: sentences -> speech on a thread of its own -> the audio track."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor

from devices.audio.pcm import Pcm
from devices.speaking.sentences import SentenceStream
from devices.speaking.speaker import Speaker, trim_silence
from devices.webrtc.tracks import RATE_HZ, SpeechTrack
from foveal.live.speech.speakers import Speakers
from stream.clock import NS_PER_MS, Clock

logger = logging.getLogger(__name__)

MAX_SENTENCES = 64  # waiting to be spoken; more are dropped
AHEAD_SAMPLES = 20 * RATE_HZ  # audio made ahead of the listener
ROOM_NS = 100 * NS_PER_MS  # how often room in the track is looked for
LEAD_IN = "Let me see."
PATIENCE_NS = 350 * NS_PER_MS  # a question without a sentence of its answer: then the lead-in
LEAD_IN_NS = 650 * NS_PER_MS  # ... and so long after the wearer has spoken, if that is sooner
LEAST_NS = 150 * NS_PER_MS  # ... but an answer from sight alone is given its time

OnSpeech = Callable[[int, str, float], None]  # turn, sentence, seconds of it that now wait
OnFailure = Callable[[int, str], None]  # turn, why it is not spoken
END = ""  # stands in the queue behind the last sentence of an answer


class LiveVoice:
    """One session's voice; its methods belong to the event loop. Silent without a track."""

    def __init__(
        self,
        speaker: Speaker,
        pool: Executor,
        clock: Clock,
        on_speech: OnSpeech,
        on_failure: OnFailure,
        lead_in: str | None = None,
    ) -> None:
        self._speaker = speaker
        self._out = Speakers(self._sent)
        self._pool, self._clock = pool, clock
        self._on_speech, self._on_failure = on_speech, on_failure
        self._sentences = SentenceStream()
        self._queue: asyncio.Queue[tuple[int, str]] = asyncio.Queue(MAX_SENTENCES)
        self._cuts = 0  # what was begun before the last cut is not played
        self._lead_in, self._lead_chunks = lead_in, list[Pcm]()
        self._patience: asyncio.Task[None] | None = None
        self._waited_ns = 0  # since the wearer's last word
        self._overhear: list[Callable[[Pcm], None]] = []
        # Told the turn that was said to its end; that what was being said is cut off.
        self.on_spoken: Callable[[int], None] | None = None
        self.on_cut: Callable[[], None] | None = None

    @property
    def audible(self) -> bool:
        """Whether anybody listens."""
        return bool(self._out)

    @property
    def queued_s(self) -> float:
        """Seconds of speech that wait to be heard."""
        return self._out.queued / RATE_HZ

    @property
    def queued(self) -> int:
        """How much is being said or about to be: 0 when silent."""
        return self._out.queued + self._queue.qsize()

    def attach(self, track: SpeechTrack, leads: bool = True) -> None:
        """Speak into this track, too, from now on.

        One that `leads` is the wearer's: its newest counts, and what an older one was being told is
        dropped. The others are second screens'.
        """
        if leads:
            self.cut_off()
        self._out.attach(track, leads)

    def overhear(self, played: Callable[[Pcm], None]) -> None:
        """Tell one more microphone's guard what goes out, 20 ms at a time."""
        self._overhear.append(played)

    def unhear(self, played: Callable[[Pcm], None]) -> None:
        """That microphone has gone."""
        self._overhear.remove(played)

    def _sent(self, block: Pcm) -> None:
        for played in self._overhear:
            played(block)

    def detach(self, track: SpeechTrack) -> None:
        """That track has ended; after the last one, be silent."""
        self._out.detach(track)
        if not self._out:
            self.cut_off()

    def begin(self) -> None:
        """A question was asked: without a sentence to say soon, say that we are at it."""
        self._calm()
        left_ns, self._waited_ns = LEAD_IN_NS - self._waited_ns, 0
        if self._lead_chunks and self._out:
            patience_ns = min(PATIENCE_NS, max(LEAST_NS, left_ns))
            self._patience = asyncio.create_task(self._be_patient(patience_ns))

    def waited(self, waited_ns: int) -> None:
        """The next question was spoken, and its last word is so long ago."""
        self._waited_ns = waited_ns

    async def _be_patient(self, patience_ns: int) -> None:
        await self._clock.sleep_until(self._clock.now_ns() + patience_ns)
        for chunk in self._lead_chunks:
            self._out.say(chunk, self._speaker.sample_rate)

    def _calm(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def feed(self, turn: int, words: str) -> None:
        """Take the next words of an answer."""
        for sentence in self._sentences.feed(words):
            self._put(turn, sentence)

    def finish(self, turn: int) -> None:
        """The answer has ended."""
        self._calm()
        for sentence in [*self._sentences.flush(), END]:
            self._put(turn, sentence)

    def notice(self, sentence: str) -> None:
        """Say something that is no answer (turn 0), behind what is being said."""
        self._put(0, sentence)

    def cut_off(self) -> None:
        """Be silent now: at most 20 ms more are heard."""
        self._calm()
        self._cuts += 1
        if self.on_cut is not None:
            self.on_cut()
        self._sentences.flush()
        while not self._queue.empty():
            self._queue.get_nowait()
        self._out.cut_off()

    def hold(self) -> None:
        """Pause: the wearer may be about to speak."""
        self._out.hold()

    def resume(self) -> None:
        """Go on after `hold`."""
        self._out.resume()

    async def run(self) -> None:
        """Speak until cancelled."""
        loop = asyncio.get_running_loop()
        if self._lead_in is not None:
            chunks = await loop.run_in_executor(self._pool, self._make, self._lead_in)
            rate = self._speaker.sample_rate
            self._lead_chunks = [trim_silence(chunk, rate, end=True) for chunk in chunks]
        while True:
            turn, sentence = await self._queue.get()
            cuts = self._cuts
            if sentence == END:
                await self._hear_out(turn, cuts)
                continue
            try:
                chunks = await loop.run_in_executor(self._pool, self._make, sentence)
                for chunk in chunks:
                    await self._play(turn, sentence, chunk, cuts)
            except Exception as error:  # a voice is third-party code: the answers go on
                logger.exception("a sentence could not be spoken")
                self._on_failure(turn, str(error))

    def _make(self, sentence: str) -> list[Pcm]:
        return list(self._speaker.synthesize(sentence))

    async def _play(self, turn: int, sentence: str, chunk: Pcm, cuts: int) -> None:
        while self._cuts == cuts and self._out.queued > AHEAD_SAMPLES:
            await self._clock.sleep_until(self._clock.now_ns() + ROOM_NS)
        if self._cuts == cuts and self._out:
            if not self._out.queued:
                chunk = trim_silence(chunk, self._speaker.sample_rate)  # the wearer waits
            self._out.say(chunk, self._speaker.sample_rate)
            self._on_speech(turn, sentence, len(chunk) / self._speaker.sample_rate)

    async def _hear_out(self, turn: int, cuts: int) -> None:
        """Wait until everything that was said has gone out, and tell."""
        while self._cuts == cuts and self._out.queued:
            await self._clock.sleep_until(self._clock.now_ns() + ROOM_NS)
        if self._cuts == cuts and self._out and self.on_spoken is not None:
            self.on_spoken(turn)

    def _put(self, turn: int, sentence: str) -> None:
        if not self._out:
            return  # nobody listens
        self._calm()
        try:
            self._queue.put_nowait((turn, sentence))
        except asyncio.QueueFull:
            self._on_failure(turn, f"more than {MAX_SENTENCES} sentences wait to be spoken")
