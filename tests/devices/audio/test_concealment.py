"""A loss that is made inaudible."""

import numpy as np
import pytest

from devices.audio.concealment import MAX_CONCEALED_NS, conceal
from devices.audio.pcm import Pcm
from stream.clock import NS_PER_MS, NS_PER_S


def voice(rate: int, seconds: float, hz: float, channels: int = 1) -> Pcm:
    """A tone with overtones, as voices have."""
    times = np.arange(round(rate * seconds))[:, None] / rate
    tone = sum(np.sin(2 * np.pi * hz * part * times) / part for part in range(1, 6))
    return np.repeat(8000 * tone, channels, axis=1).astype(np.int16)


@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
@pytest.mark.parametrize("hz", [90.0, 210.0])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_voice_goes_on_without_a_click(rate: int, hz: float, channels: int) -> None:
    whole = voice(rate, 0.12, hz, channels)
    known = rate // 10
    made = conceal(whole[:known], rate, 20 * NS_PER_MS)
    truth = whole[known : known + len(made)]
    assert made.shape == (rate // 50, channels) and made.dtype == np.int16
    error = np.sqrt(np.mean((made - truth.astype(np.float64)) ** 2))
    assert error < 0.5 * np.sqrt(np.mean(truth.astype(np.float64) ** 2))  # silence would be 1.0
    assert abs(int(made[0, 0]) - int(truth[0, 0])) < 0.25 * np.abs(truth).max()


def test_it_fades_and_never_lasts_longer_than_the_limit() -> None:
    made = conceal(voice(48_000, 0.1, 150), 48_000, 5 * NS_PER_S)
    assert len(made) * NS_PER_S // 48_000 == MAX_CONCEALED_NS
    thirds = [float(np.abs(part).max()) for part in np.array_split(made, 3)]
    assert thirds[0] > thirds[1] > thirds[2]
    assert np.abs(made[-48:]).max() < 500


@pytest.mark.parametrize("samples", [0, 1, 500])
def test_without_enough_sound_before_it_is_silence(samples: int) -> None:
    made = conceal(np.ones((samples, 2), np.int16), 48_000, 20 * NS_PER_MS)
    assert made.shape == (960, 2) and not made.any()
