"""Speech paced by deadlines, barge-in, and a view that is never behind."""

import asyncio
from typing import Any

import numpy as np
import pytest
from aiortc.mediastreams import MediaStreamError
from hypothesis import given
from hypothesis import strategies as st

from devices.webrtc.tracks import (
    FRAME_NS,
    FRAME_SAMPLES,
    LATE_NS,
    RATE_HZ,
    SpeechTrack,
    ViewTrack,
    to_48k,
)
from stream.clock import NS_PER_S, VirtualClock
from stream.errors import ConfigError


def ramp(count: int) -> Any:
    return (np.arange(count) % 30_000 + 1).astype(np.int16)


async def pull(track: SpeechTrack, frames: int) -> Any:
    """So many frames of 20 ms as one array."""
    return np.concatenate([(await track.recv()).to_ndarray()[0] for _ in range(frames)])


async def test_twenty_milliseconds_go_out_every_twenty_milliseconds() -> None:
    clock = VirtualClock()
    track = SpeechTrack(clock)
    frames = [await track.recv() for _ in range(50)]
    assert clock.now_ns() == 49 * FRAME_NS
    assert [frame.pts for frame in frames] == list(range(0, 50 * FRAME_SAMPLES, FRAME_SAMPLES))
    assert frames[0].sample_rate == RATE_HZ
    assert not any(frame.to_ndarray().any() for frame in frames)


async def test_a_blocked_loop_is_caught_up_but_a_long_stop_is_not() -> None:
    clock = VirtualClock()
    track = SpeechTrack(clock)
    await track.recv()
    clock.advance_to(5 * FRAME_NS)  # 100 ms late: the missed frames follow at once
    for _ in range(5):
        await track.recv()
    assert clock.now_ns() == 5 * FRAME_NS
    clock.advance_to(10 * FRAME_NS + LATE_NS)
    await track.recv()
    await track.recv()
    assert clock.now_ns() == 11 * FRAME_NS + LATE_NS  # no burst


@given(st.lists(st.integers(0, 3000), max_size=6))
def test_speech_comes_out_whole_in_order_then_silence(sizes: list[int]) -> None:
    async def run() -> None:
        track = SpeechTrack(VirtualClock())
        said = [ramp(size) for size in sizes]
        utterances = [track.say(samples, RATE_HZ) for samples in said]
        out = await pull(track, sum(sizes) // FRAME_SAMPLES + 2)
        assert np.array_equal(out[: sum(sizes)], np.concatenate([*said, np.zeros(0, np.int16)]))
        assert not out[sum(sizes) :].any()
        assert all(utterance.finished.is_set() and not utterance.cut for utterance in utterances)

    asyncio.run(run())


async def test_barge_in_is_silent_from_the_next_frame_on() -> None:
    track = SpeechTrack(VirtualClock())
    first = track.say(ramp(RATE_HZ), RATE_HZ)
    second = track.say(ramp(RATE_HZ), RATE_HZ)
    await pull(track, 10)
    track.cut_off()
    assert not (await pull(track, 3)).any()
    assert first.cut and second.cut and second.finished.is_set()
    assert first.sent_ns == NS_PER_S // 5
    track.say(ramp(100), RATE_HZ)  # the next answer is heard
    assert (await pull(track, 1)).any()


async def test_a_false_interruption_goes_on_where_it_stopped() -> None:
    track = SpeechTrack(VirtualClock())
    samples = ramp(4 * FRAME_SAMPLES)
    track.say(samples, RATE_HZ)
    out = [await pull(track, 2)]
    track.hold()
    assert not (await pull(track, 3)).any()
    track.resume()
    out.append(await pull(track, 2))
    assert np.array_equal(np.concatenate(out), samples)


async def test_speech_does_not_pile_up() -> None:
    track = SpeechTrack(VirtualClock(), max_queued_s=1.0)
    track.say(ramp(RATE_HZ // 2), RATE_HZ)
    with pytest.raises(ConfigError, match="wait for `finished`"):
        track.say(ramp(RATE_HZ), RATE_HZ)


@pytest.mark.parametrize("rate", [16_000, 22_050, 24_000, 48_000])
def test_any_rate_becomes_48_khz(rate: int) -> None:
    tone = (np.sin(np.arange(rate) * 2 * np.pi * 440 / rate) * 10_000).astype(np.int16)
    out = to_48k(tone, rate)
    assert len(out) == pytest.approx(RATE_HZ, rel=0.01)
    crossings = np.count_nonzero(np.diff(np.signbit(out.astype(float))))
    assert crossings == pytest.approx(880, abs=6)
    with pytest.raises(ConfigError, match="int16"):
        to_48k(tone.astype(np.float32), rate)


async def test_the_view_sends_the_newest_picture_only() -> None:
    view = ViewTrack()
    for number in range(3):
        view.show(np.full((91, 121, 3), number, np.uint8), number * NS_PER_S)
    frame = await view.recv()
    assert (frame.width, frame.height, frame.pts) == (120, 90, 180_000)
    assert frame.to_ndarray(format="rgb24").max() == 2
    assert view.dropped == 2
    view.show(np.zeros((90, 120, 3), np.uint8), 0)  # a time that goes back
    assert (await view.recv()).pts == 180_001
    waiting = asyncio.create_task(view.recv())
    await asyncio.sleep(0)
    view.stop()
    with pytest.raises(MediaStreamError):
        await waiting
