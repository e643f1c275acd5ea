"""Is it our own voice? What the microphone hears is compared with what was just played.

Browsers cancel the echo themselves; glasses with open loudspeakers often do not. The guard looks
for the sound that was played, at any delay up to `max_delay_ns`, in the sound that came in: the
peak of their normalised cross-correlation, both whitened, is high for an echo alone and low as soon
as the wearer speaks as well.
"""

from collections import deque
from dataclasses import dataclass
from typing import Literal

import numpy as np

from devices.audio.pcm import HEARING_HZ, Pcm, Sound, as_mono
from devices.audio.resample import Resampler
from devices.listening.vad import WINDOW
from stream.clock import NS_PER_MS, NS_PER_S
from stream.errors import ConfigError

EchoMode = Literal["off", "compare", "half-duplex"]
SPAN = 4 * WINDOW  # of the microphone that is compared, 128 ms
QUIET = 1e-3  # root mean square under which nothing was played


@dataclass(frozen=True, slots=True)
class EchoConfig:
    """How our own voice is told from the wearer's."""

    mode: EchoMode = "off"  # off: the client cancels echoes; half-duplex: deaf while we speak
    likeness: float = 0.45  # at least this is an echo, 0..1
    max_delay_ns: int = 500 * NS_PER_MS  # network, jitter buffers, air

    def __post_init__(self) -> None:
        if not 0 < self.likeness < 1 or not 0 < self.max_delay_ns <= 2 * NS_PER_S:
            raise ConfigError(
                "expected a likeness in 0..1 and max_delay_ns of at most 2 s, got "
                f"{self.likeness} and {self.max_delay_ns}"
            )


class EchoGuard:
    """One session's guard: `played` as sound goes out, the guard itself as a gate of what comes in.

    Use as `gate` of a SpeechListener. One event loop; holds under 3 s of sound.
    """

    def __init__(self, config: EchoConfig, rate_hz: int = 48_000) -> None:
        self.config = config
        self._resampler = Resampler(rate_hz)
        delay = config.max_delay_ns * HEARING_HZ // NS_PER_S
        self._out = np.zeros(delay + SPAN, np.float32)  # played, the newest last
        self._in: deque[Sound] = deque(maxlen=SPAN // WINDOW)

    def played(self, block: Pcm) -> None:
        """Tell what goes out now, silence included: int16 [N]."""
        sound = self._resampler.feed(as_mono(block)[0])
        size = len(self._out)
        self._out = np.concatenate([self._out, sound])[-size:]

    def __call__(self, window: Sound) -> bool:
        """Whether a window [512] at 16 kHz is an echo of what was played."""
        self._in.append(window)
        if self.config.mode == "off" or level(self._out) < QUIET:
            return False
        if self.config.mode == "half-duplex":
            return True
        return likeness(np.concatenate(list(self._in)), self._out) >= self.config.likeness


def level(sound: Sound) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(sound)))) if len(sound) else 0.0


def likeness(heard: Sound, played: Sound) -> float:
    """How well a stretch [n] is explained by one place of a longer one [m]: 0..1.

    The peak of the normalised cross-correlation after a first difference, which takes the weight
    off the low frequencies that all voices share.
    """
    one, other = np.diff(heard), np.diff(played)
    size = 1 << (len(one) + len(other)).bit_length()
    product = np.fft.irfft(np.fft.rfft(other, size) * np.conj(np.fft.rfft(one, size)), size)
    count = len(other) - len(one) + 1
    sums = np.concatenate([[0.0], np.cumsum(np.square(other, dtype=np.float64))])
    energies = (sums[len(one) :] - sums[: len(sums) - len(one)])[:count]
    own = float(np.sum(np.square(one, dtype=np.float64)))
    scale = np.sqrt(own * np.maximum(energies, own * 1e-6)) + 1e-12
    return float(np.max(np.abs(product[:count]) / scale))
