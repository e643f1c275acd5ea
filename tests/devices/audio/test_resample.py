"""Resampling: streaming equals offline, tones keep their level, aliases go."""

from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.audio.pcm import HEARING_HZ, Sound, as_mono
from devices.audio.resample import FrameResampler, Resampler
from stream.errors import DeviceError

RATES = (8000, 16000, 22050, 24000, 44100, 48000)


def tone(hz: float, rate: int, seconds: float = 0.5) -> Sound:
    return np.sin(2 * np.pi * hz * np.arange(round(rate * seconds)) / rate).astype(np.float32)


def whole(sound: Sound, rate: int) -> Sound:
    return Resampler(rate).feed(sound, last=True)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(RATES),
    st.lists(st.integers(0, 2000), min_size=1, max_size=12),
    st.integers(0, 2**31),
)
def test_where_the_blocks_are_cut_changes_nothing(rate: int, sizes: list[int], seed: int) -> None:
    sound = np.random.default_rng(seed).uniform(-1, 1, sum(sizes)).astype(np.float32)
    resampler = Resampler(rate)
    parts, at = [], 0
    for size in sizes:
        parts.append(resampler.feed(sound[at : at + size]))
        at += size
    parts.append(resampler.feed(sound[:0], last=True))
    assert np.allclose(np.concatenate(parts), whole(sound, rate), atol=1e-6)


@pytest.mark.parametrize("rate", RATES)
def test_a_tone_stays_where_it_is(rate: int) -> None:
    out = whole(tone(1000, rate), rate)
    assert abs(len(out) - HEARING_HZ // 2) <= 2
    wanted = tone(1000, HEARING_HZ)[: len(out)]
    assert np.max(np.abs(out[200:-200] - wanted[200 : len(out) - 200])) < 0.005


@pytest.mark.parametrize("rate", RATES)
def test_minutes_of_blocks_neither_drift_nor_lag(rate: int) -> None:
    block, minutes = tone(1000, rate, 0.02), 5
    resampler, count = Resampler(rate), 0
    for number in range(minutes * 60 * 50):
        out = resampler.feed(block)
        count += len(out)
        assert 0 <= (number + 1) * 320 - count <= 40  # 2.5 ms
    wanted = tone(1000, HEARING_HZ, 0.02)
    behind = (number + 1) * 320 - count
    assert np.max(np.abs(out - np.roll(wanted, behind))) < 0.005
    rest = resampler.feed(block[:0], last=True)
    assert abs(count + len(rest) - minutes * 60 * HEARING_HZ) <= 2


def test_int16_stays_int16_and_frames_of_any_format_take_the_same_way() -> None:
    pcm = np.round(20_000 * tone(1000, 48_000)).astype(np.int16)
    out = Resampler(48_000).feed(pcm, last=True)
    assert out.dtype == np.int16
    frame = av.AudioFrame.from_ndarray(np.stack([pcm, pcm]), "s16p", "stereo")
    frame.sample_rate = 48_000
    frames = FrameResampler(HEARING_HZ, "s16")
    parts = [*frames.feed(frame), *frames.feed(None)]
    same = np.concatenate([part.to_ndarray()[0] for part in parts])
    assert np.max(np.abs(out.astype(int) - same)) <= 1


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
