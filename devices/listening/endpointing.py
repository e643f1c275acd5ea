"""When an utterance begins and ends: a state machine over windows of speech probability.

How long a silence ends it depends on what was said so far: short after a finished sentence, long
after "and" or "um". A short silence is told as a `SpeechPaused`, so that transcription can begin
before the end is certain. All times are stream times, ns.
"""

from dataclasses import dataclass, replace
from typing import Literal

from devices.listening.speech_events import Reason, SpeechEnded, SpeechStarted
from stream.clock import NS_PER_MS, NS_PER_S
from stream.errors import ConfigError

Hint = Literal["unknown", "finished", "unfinished"]  # what the words so far look like


@dataclass(frozen=True, slots=True)
class EndpointConfig:
    """Thresholds and delays. Raises ConfigError where they contradict each other."""

    start_probability: float = 0.5
    keep_probability: float = 0.35  # speech goes on while it is at least this
    min_speech_ns: int = 96 * NS_PER_MS  # shorter sounds are no speech
    pause_ns: int = 96 * NS_PER_MS  # silence after which a draft is worth making
    ask_ns: int = 192 * NS_PER_MS  # silence after which the voice is asked whether it is over
    finished_ns: int = 256 * NS_PER_MS  # silence that ends a finished sentence
    unknown_ns: int = 512 * NS_PER_MS  # ... when the words are not known or leave it open
    unfinished_ns: int = 1024 * NS_PER_MS  # ... after a conjunction or a filler
    max_utterance_ns: int = 20 * NS_PER_S

    def __post_init__(self) -> None:
        if not 0 < self.keep_probability <= self.start_probability <= 1:
            raise ConfigError(
                "expected 0 < keep_probability <= start_probability <= 1, got "
                f"{self.keep_probability} and {self.start_probability}"
            )
        delays = (self.pause_ns, self.finished_ns, self.unknown_ns, self.unfinished_ns)
        if delays[0] <= 0 or sorted(delays) != list(delays) or self.ask_ns < self.pause_ns:
            raise ConfigError(
                "expected 0 < pause_ns <= finished_ns <= unknown_ns <= unfinished_ns and "
                f"pause_ns <= ask_ns, got {delays} and {self.ask_ns}"
            )
        if not 0 < self.min_speech_ns < self.max_utterance_ns <= 28 * NS_PER_S:
            raise ConfigError("expected 0 < min_speech_ns < max_utterance_ns <= 28 s")

    def silence_ns(self, hint: Hint) -> int:
        """The silence that ends an utterance of such words."""
        silence_ns: int = getattr(self, f"{hint}_ns")
        return silence_ns


@dataclass(frozen=True, slots=True)
class SpeechWindow:
    """One window of sound."""

    start_ns: int
    end_ns: int
    probability: float  # of speech, 0..1


@dataclass(frozen=True, slots=True)
class SpeechPaused:
    """No speech since `since_ns`; it may go on."""

    since_ns: int
    decided_ns: int


@dataclass(frozen=True, slots=True)
class SpeechLulled:
    """Still no speech since `since_ns`: long enough to tell by the voice whether it goes on."""

    since_ns: int


@dataclass(frozen=True, slots=True)
class SpeechResumed:
    """It went on after a `SpeechPaused`."""

    at_ns: int


EndpointEvent = SpeechStarted | SpeechPaused | SpeechLulled | SpeechResumed | SpeechEnded


@dataclass(frozen=True, slots=True)
class EndpointState:
    """Between windows. `started_ns` is None while nobody speaks."""

    started_ns: int | None = None
    onset_ns: int | None = None  # of speech that may be too short yet
    voice_ns: int = 0  # when the last speech ended
    paused: bool = False
    lulled: bool = False
    held: bool = False  # push-to-talk is pressed: silence ends nothing


Stepped = tuple[EndpointState, list[EndpointEvent]]


class Endpointer:
    """The state machine; holds no state itself."""

    def __init__(self, config: EndpointConfig | None = None) -> None:
        self.config = config or EndpointConfig()

    def init_state(self) -> EndpointState:
        """Nobody has spoken."""
        return EndpointState()

    def step(self, state: EndpointState, window: SpeechWindow, hint: Hint = "unknown") -> Stepped:
        """Take one window; `hint` tells what the utterance's words so far look like."""
        if state.started_ns is None:
            return self._listen(state, window)
        state, events = self._follow(state, window)
        assert state.started_ns is not None
        silence_ns = window.end_ns - state.voice_ns
        if not state.held and silence_ns >= self.config.silence_ns(hint):
            return self._end(state, window.end_ns, "silence", events)
        if window.end_ns - state.started_ns >= self.config.max_utterance_ns:
            return self._end(state, window.end_ns, "limit", events)
        return state, events

    def press(self, state: EndpointState, at_ns: int) -> Stepped:
        """Push-to-talk begins: an utterance until `release`, whatever is heard."""
        if state.started_ns is not None:
            return replace(state, held=True), []
        return EndpointState(at_ns, None, at_ns, held=True), [SpeechStarted(at_ns, at_ns)]

    def release(self, state: EndpointState, at_ns: int) -> Stepped:
        """Push-to-talk ends, and the utterance with it."""
        return self._end(state, at_ns, "released", []) if state.held else (state, [])

    def stop(self, state: EndpointState, at_ns: int, reason: Reason) -> Stepped:
        """End whatever is open: the sound broke off."""
        if state.started_ns is None:
            return self.init_state(), []
        return self._end(state, at_ns, reason, [])

    def _listen(self, state: EndpointState, window: SpeechWindow) -> Stepped:
        """Nobody speaks yet."""
        if window.probability < self.config.keep_probability:
            return self.init_state(), []
        if state.onset_ns is None and window.probability < self.config.start_probability:
            return state, []
        onset_ns = window.start_ns if state.onset_ns is None else state.onset_ns
        if window.end_ns - onset_ns < self.config.min_speech_ns:
            return replace(state, onset_ns=onset_ns), []
        begun = EndpointState(onset_ns, None, window.end_ns)
        return begun, [SpeechStarted(onset_ns, window.end_ns)]

    def _follow(self, state: EndpointState, window: SpeechWindow) -> Stepped:
        """Somebody speaks, or has just stopped."""
        if window.probability >= self.config.keep_probability:
            events: list[EndpointEvent] = [SpeechResumed(window.start_ns)] if state.paused else []
            return replace(state, voice_ns=window.end_ns, paused=False, lulled=False), events
        silence_ns, events = window.end_ns - state.voice_ns, []
        if not state.paused and silence_ns >= self.config.pause_ns:
            state = replace(state, paused=True)
            events.append(SpeechPaused(state.voice_ns, window.end_ns))
        if not state.lulled and silence_ns >= self.config.ask_ns:
            state = replace(state, lulled=True)
            events.append(SpeechLulled(state.voice_ns))
        return state, events

    def _end(
        self, state: EndpointState, at_ns: int, reason: Reason, before: list[EndpointEvent]
    ) -> Stepped:
        assert state.started_ns is not None
        ended = SpeechEnded(state.started_ns, min(state.voice_ns, at_ns), at_ns, reason)
        return self.init_state(), [*before, ended]
