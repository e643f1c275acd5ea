"""Resampling: streaming equals offline, tones keep their level, aliases go."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.listening.resample import HEARING_HZ, Resampler, Sound, as_mono
from stream.errors import DeviceError

RATES = (8000, 16000, 22050, 24000, 44100, 48000)


def tone(hz: float, rate: int, seconds: float = 0.5) -> Sound:
    return np.sin(2 * np.pi * hz * np.arange(round(rate * seconds)) / rate).astype(np.float32)


def whole(sound: Sound, rate: int) -> Sound:
    resampler = Resampler(rate)
    state, out = resampler.step(resampler.init_state(), sound)
    return np.concatenate([out, resampler.finish(state)])


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(RATES),
    st.lists(st.integers(0, 2000), min_size=1, max_size=12),
    st.integers(0, 2**31),
)
def test_where_the_blocks_are_cut_changes_nothing(rate: int, sizes: list[int], seed: int) -> None:
    sound = np.random.default_rng(seed).uniform(-1, 1, sum(sizes)).astype(np.float32)
    resampler = Resampler(rate)
    state, parts, at = resampler.init_state(), [], 0
    for size in sizes:
        state, part = resampler.step(state, sound[at : at + size])
        parts.append(part)
        at += size
    parts.append(resampler.finish(state))
    assert np.allclose(np.concatenate(parts), whole(sound, rate), atol=1e-6)


@pytest.mark.parametrize("rate", RATES)
def test_a_tone_stays_where_it_is(rate: int) -> None:
    out = whole(tone(1000, rate), rate)
    assert abs(len(out) - HEARING_HZ // 2) <= 2
    wanted = tone(1000, HEARING_HZ)[: len(out)]
    assert np.max(np.abs(out[200:-200] - wanted[200 : len(out) - 200])) < 0.005


def test_what_cannot_be_heard_at_16_khz_is_taken_away() -> None:
    assert np.max(np.abs(whole(tone(11_000, 48_000), 48_000)[200:-200])) < 0.001


def test_int16_stereo_and_broken_samples() -> None:
    pcm = np.array([[16384, 0], [-32768, -32768]], np.int16)
    assert np.allclose(as_mono(pcm)[0], [0.25, -1.0])
    sound, broken = as_mono(np.array([0.5, np.nan, np.inf, 3.0], np.float32))
    assert (sound.tolist(), broken) == ([0.5, 0.0, 0.0, 1.0], 2)


@pytest.mark.parametrize(
    "pcm", [np.zeros(4, np.int32), np.zeros((2, 2, 2), np.int16), np.zeros((4, 9), np.int16)]
)
def test_other_sound_is_refused(pcm: Any) -> None:
    with pytest.raises(DeviceError, match="expected"):
        as_mono(pcm)


@pytest.mark.parametrize("rate", [0, -16000, 3999, 192_001])
def test_other_rates_are_refused(rate: int) -> None:
    with pytest.raises(DeviceError, match="sample rate"):
        Resampler(rate)
