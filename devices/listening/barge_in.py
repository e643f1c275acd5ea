"""Barge-in: the wearer speaks while we do.

Our voice stops at once when speech is heard (`hold`, at most 40 ms more are heard). When words come
it is cut off for good; when none come within a second of the end of the sound, or only a "yeah",
it goes on where it stopped.
"""

from dataclasses import dataclass, replace
from typing import Literal, Protocol

from devices.listening.speech_events import (
    FinalTranscript,
    ListenEvent,
    Refused,
    SpeechEnded,
    SpeechStarted,
    Woken,
    Words,
)
from devices.listening.wording import words
from stream.clock import NS_PER_S

Action = Literal["none", "hold", "resume", "cut"]

# Said while listening; they ask nothing (a "yes" or "no" could answer us, so they are not here).
BACKCHANNELS = frozenset(("yeah", "yep", "okay", "ok", "uh", "huh", "um", "mhm", "mm", "hmm", "ah"))


class SpeechPlayer(Protocol):
    """What plays our voice; `devices.webrtc.tracks.SpeechTrack` is one."""

    @property
    def queued(self) -> int:
        """Samples that wait to be played."""

    def hold(self) -> None:
        """Silence from the next 20 ms on; what waits is kept."""

    def resume(self) -> None:
        """Go on where `hold` stopped."""

    def cut_off(self) -> None:
        """Drop what waits."""


@dataclass(frozen=True, slots=True)
class BargeConfig:
    """When an interruption is one."""

    enabled: bool = True
    false_after_ns: int = NS_PER_S  # without words for so long after the sound: it was nothing
    min_words: int = 1


@dataclass(frozen=True, slots=True)
class BargeState:
    """Whether we hold our breath."""

    held: bool = False
    quiet_ns: int | None = None  # since when the wearer is silent again


class BargeIn:
    """Drives a player by a listener's events; all on one event loop.

    Call `handle` with every event and `tick` with the stream time after every block of sound.
    A FinalTranscript that `handle` answers with "resume" is no question.
    """

    def __init__(self, player: SpeechPlayer, config: BargeConfig | None = None) -> None:
        self._player, self.config = player, config or BargeConfig()
        self.state = BargeState()

    def handle(self, event: ListenEvent) -> Action:
        """Take one event; what was done to the voice."""
        if not self.config.enabled:
            return "none"
        playing = self._player.queued > 0
        self.state, action = step(self.state, event, playing, self.config)
        return self._do(action)

    def tick(self, now_ns: int) -> Action:
        """Take the stream time; a voice that was held for nothing goes on."""
        self.state, action = wait(self.state, now_ns, self.config)
        return self._do(action)

    def leave(self) -> Action:
        """The microphone has gone: a voice that it held goes on."""
        held, self.state = self.state.held, BargeState()
        return self._do("resume" if held else "none")

    def _do(self, action: Action) -> Action:
        if action == "hold":
            self._player.hold()
        elif action == "resume":
            self._player.resume()
        elif action == "cut":
            self._player.cut_off()
        return action


def step(
    state: BargeState, event: ListenEvent, playing: bool, config: BargeConfig
) -> tuple[BargeState, Action]:
    """One event of the listener."""
    if isinstance(event, SpeechStarted):
        if state.held:
            return replace(state, quiet_ns=None), "none"
        return (BargeState(held=True), "hold") if playing else (state, "none")
    if not state.held:
        return state, "none"
    if isinstance(event, SpeechEnded):
        return replace(state, quiet_ns=event.decided_ns), "none"
    if isinstance(event, Words) and is_request(event.text, config.min_words):
        return BargeState(), "cut"
    if isinstance(event, Woken):
        return BargeState(), "cut"
    if isinstance(event, FinalTranscript | Refused):
        return BargeState(), "resume"
    return state, "none"


def wait(state: BargeState, now_ns: int, config: BargeConfig) -> tuple[BargeState, Action]:
    """Time passes."""
    if state.quiet_ns is not None and now_ns - state.quiet_ns >= config.false_after_ns:
        return BargeState(), "resume"
    return state, "none"


def is_request(text: str, min_words: int = 1) -> bool:
    """Whether words ask for something: more than "uh-huh"."""
    return sum(word not in BACKCHANNELS for word in words(text)) >= min_words
