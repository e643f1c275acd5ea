"""Blocks of sound in; beginnings, pauses and ends of utterances out, with their sound.

Ties resampling, voice detection and end-of-utterance detection together, on the calling thread:
about 0.2 ms for 20 ms of sound. Holds at most one utterance.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from devices.audio.pcm import RawSound, Sound, as_mono
from devices.audio.resample import Resampler
from devices.listening.endpointing import (
    EndpointConfig,
    Endpointer,
    EndpointEvent,
    EndpointState,
    Hint,
    SpeechLulled,
    SpeechPaused,
    SpeechWindow,
)
from devices.listening.speech_events import Reason, SpeechEnded, SpeechStarted
from devices.listening.vad import WINDOW, WINDOW_NS, VadState, VoiceDetector
from stream.clock import NS_PER_MS, NS_PER_S
from stream.errors import DeviceError

PRE_ROLL_NS = 320 * NS_PER_MS  # sound before the first voiced window that belongs to the speech
MAX_BLOCK_S = 60.0
DRIFT_NS = 20 * NS_PER_MS  # between sample count and time stamps; more of it is corrected
SILENT = 0.02  # of the loudest voiced window: so quiet is silence whatever the detector says
GAP_NS = 300 * NS_PER_MS  # missing sound that ends an utterance

SOUNDING = SpeechPaused | SpeechLulled | SpeechEnded  # told with the utterance's sound

WindowGate = Callable[[Sound], bool]  # one window [512]: True when it is not the wearer (an echo)


@dataclass(frozen=True, slots=True, eq=False)
class SegmentEvent:
    """An event, with the utterance's sound [samples] at 16 kHz where it paused or ended."""

    event: EndpointEvent
    sound: Sound | None = None


@dataclass(slots=True)
class _Line:
    """The time line of one unbroken stream."""

    rate: int
    resampler: Resampler
    vad: VadState
    origin_ns: int  # stream time of the first sample
    taken: int = 0  # input samples so far
    windows: int = 0  # detected so far

    @property
    def next_ns(self) -> int:
        """Where the next block should begin."""
        return self.origin_ns + self.taken * NS_PER_S // self.rate


@dataclass(slots=True)
class SegmenterStats:
    """Counts since the beginning."""

    gaps: int = 0  # the time stamps jumped
    broken: int = 0  # samples that were not finite
    echoes: int = 0  # windows that the gate took away


class SpeechSegmenter:
    """Cuts one stream into utterances. Not thread-safe."""

    def __init__(
        self,
        detector: VoiceDetector,
        config: EndpointConfig | None = None,
        push_to_talk: bool = False,
        gate: WindowGate | None = None,
    ) -> None:
        self._detector, self._endpointer = detector, Endpointer(config)
        self._push, self._gate = push_to_talk, gate
        self._turn: EndpointState = self._endpointer.init_state()
        self._line: _Line | None = None
        before = PRE_ROLL_NS + self._endpointer.config.min_speech_ns
        self._before: deque[Sound] = deque(maxlen=before // WINDOW_NS + 2)
        self._spoken: list[Sound] = []  # of the utterance; bounded by its maximum length
        self._now_ns = 0
        self._loudest = 0.0  # window of the utterance, root mean square
        self._pressed = False  # push-to-talk was pressed; no sound has come since
        self.stats = SegmenterStats()

    @property
    def now_ns(self) -> int:
        """Stream time up to which sound was heard."""
        return self._now_ns

    @property
    def talking(self) -> bool:
        """Whether an utterance is open."""
        return self._turn.started_ns is not None

    @property
    def silent(self) -> bool:
        """Whether the open utterance has paused."""
        return self._turn.paused

    @property
    def lull_ns(self) -> int | None:
        """Since when the open utterance has been silent, if that is long; None while it speaks."""
        return self._turn.voice_ns if self._turn.lulled else None

    def sound(self) -> Sound:
        """The open utterance so far, [samples] at 16 kHz."""
        return np.concatenate(self._spoken) if self._spoken else np.zeros(0, np.float32)

    def hear(
        self, pcm: RawSound, pts_ns: int, rate_hz: int, hint: Hint = "unknown"
    ) -> list[SegmentEvent]:
        """Take a block: int16 or float, [N] or [N, channels], which begins at `pts_ns`.

        Raises DeviceError for another type, shape or rate, and for more than a minute at once.
        """
        sound, broken = as_mono(pcm)
        if len(sound) > MAX_BLOCK_S * rate_hz:
            raise DeviceError(f"expected at most {MAX_BLOCK_S:.0f} s a block, got {len(sound)}")
        events, line = self._continue(pts_ns, rate_hz)
        if self._pressed and len(sound):
            self._pressed = False
            self._turn, begun = self._endpointer.press(self._turn, self._now_ns)
            events += self._heard(begun)
        self.stats.broken += broken
        missing = (pts_ns - line.next_ns) * line.rate // NS_PER_S
        if missing * NS_PER_S > DRIFT_NS * line.rate:  # was lost, or was silence that is not sent
            sound = np.concatenate([np.zeros(missing, np.float32), sound])
        line.taken += len(sound)
        heard = line.resampler.feed(sound)
        known = np.concatenate([line.vad.pending, heard])
        line.vad, chances = self._detector.step(line.vad, heard)
        for number, chance in enumerate(chances):
            window = known[number * WINDOW : (number + 1) * WINDOW]
            events += self._window(line, window, chance, hint)
        return events

    def press(self) -> None:
        """Push-to-talk: an utterance begins with the next block of sound."""
        self._pressed = True

    def release(self) -> list[SegmentEvent]:
        """Push-to-talk ends; nothing happens when no sound has come since `press`."""
        self._pressed = False
        self._turn, events = self._endpointer.release(self._turn, self._now_ns)
        return self._heard(events)

    def stop(self, reason: Reason = "closed") -> list[SegmentEvent]:
        """The sound ends or breaks off: ends what is open, and starts afresh."""
        self._turn, events = self._endpointer.stop(self._turn, self._now_ns, reason)
        heard = self._heard(events)
        self._line = None
        self._before.clear()
        return heard

    def _continue(self, pts_ns: int, rate_hz: int) -> tuple[list[SegmentEvent], _Line]:
        """The line that a block belongs to: a jump or another rate begins a new one."""
        line = self._line
        if line is not None and line.rate == rate_hz:
            off_ns = pts_ns - line.next_ns
            if -(GAP_NS if self.talking else DRIFT_NS) <= off_ns <= GAP_NS:
                return [], line
        resampler = Resampler(rate_hz)
        events: list[SegmentEvent] = []
        if line is not None:
            self.stats.gaps += abs(pts_ns - line.next_ns) > GAP_NS
            events = self.stop("gap")
        self._now_ns = pts_ns
        fresh = _Line(rate_hz, resampler, self._detector.init_state(), pts_ns)
        self._line = fresh
        return events, fresh

    def _window(self, line: _Line, window: Sound, chance: float, hint: Hint) -> list[SegmentEvent]:
        start_ns = line.origin_ns + line.windows * WINDOW_NS
        line.windows += 1
        self._now_ns = start_ns + WINDOW_NS
        if self._gate is not None and self._gate(window):
            self.stats.echoes += chance >= self._endpointer.config.keep_probability
            chance = 0.0
        chance = self._unless_silent(window, chance)
        (self._spoken if self.talking else self._before).append(window)
        if self._push and not self._turn.held:
            return []
        timed = SpeechWindow(start_ns, self._now_ns, chance)
        self._turn, events = self._endpointer.step(self._turn, timed, hint)
        return self._heard(events)

    def _unless_silent(self, window: Sound, chance: float) -> float:
        """The network lingers on speech for up to 100 ms after it has ended; its level does not."""
        loudness = float(np.sqrt(np.mean(window * window)))
        if not self.talking:
            self._loudest = 0.0
        if chance >= self._endpointer.config.start_probability:
            self._loudest = max(self._loudest, loudness)
        return 0.0 if self.talking and loudness < SILENT * self._loudest else chance

    def _heard(self, events: list[EndpointEvent]) -> list[SegmentEvent]:
        heard = []
        for event in events:
            if isinstance(event, SpeechStarted):
                self._spoken = list(self._before)
                self._before.clear()
            sound = self.sound() if isinstance(event, SOUNDING) else None
            heard.append(SegmentEvent(event, sound))
            if isinstance(event, SpeechEnded):
                self._before.extend(self._spoken[-(self._before.maxlen or 1) :])
                self._spoken = []
        return heard
