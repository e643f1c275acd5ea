"""Test doubles of the devices."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from devices.audio.pcm import Pcm, Sound
from devices.listening.vad import WINDOW, VadState
from devices.listening.whisper import Transcript
from devices.speaking.sentences import speakable, split_sentences


@dataclass(slots=True)
class ToneSpeaker:
    """A Speaker that hums: a tone per sentence, as long as the sentence has characters.

    Says nothing for text without a letter or digit, as the real ones do.
    """

    name: str = "tone"
    sample_rate: int = 16_000
    samples_per_char: int = 800  # 50 ms
    spoken: list[str] = field(default_factory=list)

    def synthesize(self, text: str) -> Iterator[Pcm]:
        """Yield one chunk per sentence and remember it."""
        for sentence in filter(None, map(speakable, split_sentences(text))):
            self.spoken.append(sentence)
            times = np.arange(len(sentence) * self.samples_per_char) / self.sample_rate
            yield (8000 * np.sin(2 * np.pi * 220 * times)).astype(np.int16)


@dataclass(frozen=True, slots=True)
class LevelDetector:
    """A VoiceDetector that takes loud sound for speech."""

    threshold: float = 0.05  # root mean square of a window

    def init_state(self) -> VadState:
        """A stream that has heard nothing."""
        nothing = np.zeros(0, np.float32)
        return VadState(np.zeros((2, 1, 128), np.float32), nothing, nothing)

    def step(self, state: VadState, sound: Sound) -> tuple[VadState, list[float]]:
        """1 for a loud window, 0 for a quiet one."""
        known = np.concatenate([state.pending, sound])
        count = len(known) // WINDOW
        windows = known[: count * WINDOW].reshape(count, WINDOW)
        loud = np.sqrt(np.mean(windows**2, axis=1)) > self.threshold
        return VadState(state.memory, state.context, known[count * WINDOW :]), [
            float(one) for one in loud
        ]


@dataclass(slots=True)
class ScriptedTranscriber:
    """A Transcriber that hears a word for every quarter second of loud sound, from a script."""

    script: tuple[str, ...] = ("what", "is", "this", "on", "the", "table?")
    heard: list[int] = field(default_factory=list)  # samples of each run
    failures: int = 0  # runs that fail before one succeeds
    no_speech: float = 0.0
    log_probability: float = -0.1

    def transcribe(self, sound: Sound) -> Transcript:
        """The first words of the script, as many as there is loud sound for."""
        self.heard.append(len(sound))
        if self.failures:
            self.failures -= 1
            raise RuntimeError("no memory")
        count = round(np.count_nonzero(np.abs(sound) > 0.02) / 4000)
        return Transcript(" ".join(self.script[:count]), self.no_speech, self.log_probability)


@dataclass(slots=True)
class ScriptedTurns:
    """A TurnDetector that says what it was told, once each, and fails after that."""

    chances: list[float]
    asked: list[Sound] = field(default_factory=list)

    def chance(self, sound: Sound) -> float:
        """The next one."""
        self.asked.append(sound)
        return self.chances.pop(0)
