"""Sound of any rate and layout -> 16 kHz mono, as it streams.

A polyphase windowed-sinc filter (Kaiser, beta 8: images and aliases under -70 dB). Streaming equals
offline: where the blocks are cut changes nothing.
"""

from dataclasses import dataclass
from math import ceil, gcd

import numpy as np
import numpy.typing as npt

from stream.errors import DeviceError

HEARING_HZ = 16_000
MIN_HZ, MAX_HZ = 4_000, 192_000
MAX_CHANNELS = 8
ZERO_CROSSINGS = 16  # of the sinc on either side
KAISER_BETA = 8.0
ROLL_OFF = 0.94  # of the lower Nyquist frequency that passes

Sound = npt.NDArray[np.float32]  # [samples] mono, -1..1
RawSound = npt.NDArray[np.int16] | npt.NDArray[np.float32] | npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ResampleState:
    """Where a stream stands."""

    rest: Sound  # input that later output still needs, at most the filter's length and a block
    phase: int  # of the next output sample within its input sample, in 1/up


class Resampler:
    """From one rate to another; raises DeviceError for a rate outside 4 to 192 kHz."""

    def __init__(self, rate_in: int, rate_out: int = HEARING_HZ) -> None:
        for rate in (rate_in, rate_out):
            if not MIN_HZ <= rate <= MAX_HZ:
                raise DeviceError(
                    f"expected a sample rate from {MIN_HZ} to {MAX_HZ} Hz, got {rate}"
                )
        common = gcd(rate_in, rate_out)
        self._up, self._down = rate_out // common, rate_in // common
        self._half = ZERO_CROSSINGS * ceil(max(1.0, rate_in / rate_out))  # input samples
        self._filters = _filters(self._up, self._half, min(1.0, rate_out / rate_in))

    def init_state(self) -> ResampleState:
        """A stream that has heard nothing."""
        return ResampleState(np.zeros(self._half - 1, np.float32), 0)

    def step(self, state: ResampleState, sound: Sound) -> tuple[ResampleState, Sound]:
        """Take [N] samples; give those of the output that they complete (1 ms of look-ahead)."""
        if self._up == self._down:
            return state, sound
        known = np.concatenate([state.rest, sound])
        room = (len(known) - 2 * self._half + 1) * self._up - 1 - state.phase
        count = max(0, room // self._down + 1)
        at = state.phase + np.arange(count + 1) * self._down
        starts, phases = at // self._up, at % self._up
        taps = np.arange(2 * self._half)
        windows = known[starts[:count, None] + taps]
        out = np.einsum("nt,nt->n", windows, self._filters[phases[:count]])
        return ResampleState(known[starts[count] :], int(phases[count])), out

    def finish(self, state: ResampleState) -> Sound:
        """The last samples of a stream that has ended."""
        if self._up == self._down:
            return np.zeros(0, np.float32)
        return self.step(state, np.zeros(self._half, np.float32))[1]


def _filters(up: int, half: int, ratio: float) -> Sound:
    """[up, 2 * half]: the weights of the input around an output sample, for each phase."""
    offsets = np.arange(up)[:, None] / up - (np.arange(2 * half) - half + 1)
    window = np.i0(KAISER_BETA * np.sqrt(np.clip(1 - (offsets / half) ** 2, 0, None)))
    weights = np.sinc(ratio * ROLL_OFF * offsets) * window
    filters: Sound = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return filters


def as_mono(pcm: RawSound) -> tuple[Sound, int]:
    """Samples [N] or [N, channels], int16 or float -> float32 [N] in -1..1.

    Also returns how many samples were not finite (they become silence). Raises DeviceError for
    another type or shape.
    """
    if pcm.ndim not in (1, 2) or (pcm.ndim == 2 and not 1 <= pcm.shape[1] <= MAX_CHANNELS):
        raise DeviceError(
            f"expected samples [N] or [N, 1..{MAX_CHANNELS} channels], got {list(pcm.shape)}"
        )
    if pcm.dtype == np.int16:
        sound = pcm.astype(np.float32) / 32768.0
    elif pcm.dtype in (np.float32, np.float64):
        sound = pcm.astype(np.float32)
    else:
        raise DeviceError(f"expected int16 or float samples, got {pcm.dtype}")
    broken = int(np.count_nonzero(~np.isfinite(sound)))
    if broken:
        sound = np.nan_to_num(sound, nan=0.0, posinf=0.0, neginf=0.0)
    mono = sound if sound.ndim == 1 else sound.mean(axis=1, dtype=np.float32)
    return np.clip(mono, -1.0, 1.0), broken
