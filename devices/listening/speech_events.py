"""What a listener tells: who speaks when, and the words. All times are stream times, ns."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

Reason = Literal["silence", "limit", "released", "gap", "closed"]


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """Somebody speaks since `at_ns`."""

    at_ns: int
    decided_ns: int  # stream time at which that was known


@dataclass(frozen=True, slots=True)
class PartialTranscript:
    """The words so far."""

    text: str
    stable: str  # a beginning of `text` that two transcriptions agree on; never taken back
    at_ns: int


@dataclass(frozen=True, slots=True)
class DraftTranscript:
    """The words at the first silence, before the end is certain.

    An answer may be begun, and thrown away if another text follows.
    """

    text: str
    started_ns: int
    ended_ns: int


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    """The utterance is over."""

    started_ns: int
    ended_ns: int  # of the last speech
    decided_ns: int  # when the end was certain
    reason: Reason


@dataclass(frozen=True, slots=True)
class FinalTranscript:
    """An utterance's words, without the wake phrase."""

    text: str
    started_ns: int
    ended_ns: int
    decided_ns: int
    timings_ns: dict[str, int] = field(default_factory=dict)  # endpoint, transcription
    drafted: bool = False  # the text is that of the draft: transcribed before the end was certain


@dataclass(frozen=True, slots=True)
class Refused:
    """An utterance that gives no text."""

    cause: str  # "no words", "no speech", "not understood", "repetition", "wake", "busy", "failed"
    reason: str
    started_ns: int
    ended_ns: int


@dataclass(frozen=True, slots=True)
class Woken:
    """The wake phrase and nothing else."""

    at_ns: int


Words = PartialTranscript | DraftTranscript | FinalTranscript
ListenEvent = SpeechStarted | Words | SpeechEnded | Refused | Woken
OnListen = Callable[[ListenEvent], None]
