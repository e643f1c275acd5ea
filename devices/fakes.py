"""Test doubles of the devices."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from devices.sentences import speakable, split_sentences
from devices.wav import Pcm


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
