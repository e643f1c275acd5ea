"""The sound of a live URL: one format out, whatever comes in; bounded; an end."""

import asyncio

import av
import numpy as np
import pytest
from aiortc.mediastreams import MediaStreamError

from devices.video.url_sound import MAX_FRAMES, UrlSound


def tone(rate: int, seconds: float, form: str = "fltp", layout: str = "stereo") -> av.AudioFrame:
    wave = 0.5 * np.sin(np.arange(round(rate * seconds)) * 2 * np.pi * 440 / rate)
    if form == "s16":
        whole = np.round(32_767 * wave).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(whole, format=form, layout=layout)
    else:
        planes = np.stack([wave, wave]).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(planes, format=form, layout=layout)
    frame.sample_rate = rate
    return frame


async def taken(sound: UrlSound) -> list[av.AudioFrame]:
    frames = []
    with pytest.raises(MediaStreamError):
        while True:
            frames.append(await asyncio.wait_for(sound.recv(), 5))
    return frames


async def test_any_format_becomes_mono_at_16_khz_even_when_it_changes() -> None:
    sound = UrlSound(asyncio.get_running_loop())
    await asyncio.to_thread(sound.put, tone(48_000, 0.5))
    await asyncio.to_thread(sound.put, tone(8_000, 0.5, "s16", "mono"))
    sound.end()
    frames = await taken(sound)
    kinds = {(one.format.name, one.layout.name, one.sample_rate) for one in frames}
    assert kinds == {("s16", "mono", 16_000)}
    samples = np.concatenate([one.to_ndarray()[0] for one in frames])
    assert abs(len(samples) - 16_000) < 200  # what the resamplers hold back
    assert 0.4 < np.abs(samples).max() / 32_768 < 0.6
    above = samples >= 0
    crossings = np.count_nonzero(~above[:-1] & above[1:])
    assert abs(crossings - 440) < 10


async def test_sound_that_nobody_takes_is_bounded_and_the_end_is_told_again() -> None:
    sound = UrlSound(asyncio.get_running_loop())
    for _ in range(2 * MAX_FRAMES):
        sound.put(tone(16_000, 0.02, "s16", "mono"))
    sound.end()
    frames = await taken(sound)
    assert len(frames) <= MAX_FRAMES
    assert len(frames) + sound.dropped >= 2 * MAX_FRAMES - 2
    assert await taken(sound) == []
