"""A real aiortc peer publishes; numbered frames come out in order and at once."""

import asyncio
import time
from itertools import pairwise

import numpy as np
import pytest

from devices.video.policy import FramePolicy, ReceiveOptions
from devices.webrtc.aiortc_compat import DropOldestQueue
from devices.webrtc.connection import VideoSource
from devices.webrtc.receiver import LowLatencyReceiver
from devices.webrtc.track_source import TrackSource
from stream.clock import NS_PER_MS, NS_PER_S
from stream.frame import Frame
from tests.doubles.webrtc import Loopback, NumberCamera, prefer, read_number


async def collect(source: VideoSource, count: int, pause_s: float = 0.0) -> list[Frame]:
    frames: list[Frame] = []
    async for frame in source.frames():
        frames.append(frame)
        if len(frames) == count:
            break
        await asyncio.sleep(pause_s)
    return frames


@pytest.mark.parametrize("mime", ["video/VP8", "video/H264"])
async def test_every_frame_arrives_in_order_before_the_next_is_made(mime: str) -> None:
    camera = NumberCamera(fps=15)
    loopback = Loopback(camera, ReceiveOptions(FramePolicy.EVERY_FRAME))
    prefer(loopback.sender, mime)
    async with loopback as source:
        assert isinstance(source, LowLatencyReceiver)
        seen, early = 0, 0
        async for frame in source.frames():
            assert read_number(frame.image) == seen
            assert abs(frame.pts_ns - seen * NS_PER_S // 15) < NS_PER_MS
            # Stock aiortc gives frame n out only after frame n + 1 was sent: never early.
            early += len(camera.shots) <= seen + 1
            seen += 1
            if seen == 12:
                break
        assert early >= 3  # not all: on a busy machine the camera may run ahead
        assert source.stats().dropped == {}
        assert source.stats().delivered == 12


async def test_a_slow_consumer_gets_fresh_frames_and_the_rest_is_counted() -> None:
    camera = NumberCamera(fps=30)
    async with Loopback(camera, ReceiveOptions(FramePolicy.FRESHEST)) as source:
        ages, numbers = [], []
        async for frame in source.frames():
            numbers.append(read_number(frame.image))
            ages.append(len(camera.shots) - 1 - numbers[-1])
            if len(numbers) == 6:
                break
            await asyncio.sleep(0.25)
        stats = source.stats()
    assert all(b > a for a, b in pairwise(numbers))
    assert numbers[-1] > 24
    assert sorted(ages)[len(ages) // 2] <= 2  # in frames; the newest is at most just being made
    assert stats.dropped["superseded"] == pytest.approx(numbers[-1] - len(numbers), abs=6)


async def test_the_picture_may_change_size_in_mid_stream() -> None:
    camera = NumberCamera(fps=30, sizes={0: (320, 240), 6: (480, 640), 12: (162, 90)})
    async with Loopback(camera, ReceiveOptions(FramePolicy.EVERY_FRAME)) as source:
        frames = await collect(source, 18)
    assert [frame.size for frame in frames[::6]] == [(240, 320), (640, 480), (90, 162)]
    assert [read_number(frame.image) for frame in frames] == list(range(18))


async def test_capture_time_comes_with_the_sender_reports() -> None:
    """RTCP reports come 0.5 to 1.5 s apart."""
    async with Loopback(NumberCamera(fps=30)) as source:
        assert source.capture_unix_ns(0) is None
        async for frame in source.frames():
            captured_ns = source.capture_unix_ns(frame.pts_ns)
            if captured_ns is not None:
                break
        assert captured_ns is not None
        assert abs(captured_ns - time.time_ns()) < NS_PER_S  # one machine, one wall clock
        assert source.capture_unix_ns(frame.pts_ns + 5) == captured_ns + 5


async def test_one_keyframe_is_enough_to_start() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (600, 800, 3), np.uint8)
    camera = NumberCamera(fps=30, sizes={0: (640, 480)}, scene=noise)  # many packets a frame
    async with Loopback(camera) as source:
        await collect(source, 10)
        assert source.stats().packets > 100
        assert source.stats().keyframe_requests == 0


async def test_another_aiortc_gets_its_own_receiver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devices.webrtc.aiortc_compat.JITTER_BUFFER", "_no_such_name")
    async with Loopback(NumberCamera(fps=30)) as source:
        assert isinstance(source, TrackSource)
        frames = await collect(source, 10)
    assert [read_number(frame.image) for frame in frames] == list(range(10))
    assert source.stats().delivered == 10


async def test_audio_nobody_listens_to_does_not_pile_up() -> None:
    queue: DropOldestQueue[int] = DropOldestQueue(maxsize=3)
    for number in range(10):
        await queue.put(number)
    assert [await queue.get() for _ in range(3)] == [7, 8, 9]
    assert queue.dropped == 7


async def test_the_source_ends_when_the_peer_hangs_up() -> None:
    camera = NumberCamera(fps=30)
    loopback = Loopback(camera)
    async with loopback as source:
        await collect(source, 3)
        await loopback.sender.close()
        async with asyncio.timeout(5):
            async for _ in source.frames():
                pass


async def test_a_slow_consumer_of_every_frame_asks_for_no_keyframes() -> None:
    options = ReceiveOptions(FramePolicy.EVERY_FRAME, decoded_capacity=1, stall_ns=100 * NS_PER_MS)
    async with Loopback(NumberCamera(fps=30), options) as source:
        frames = await collect(source, 6, pause_s=0.25)
        assert [read_number(frame.image) for frame in frames] == list(range(6))
        assert source.stats().keyframe_requests == 0


async def test_a_stream_of_which_no_picture_comes_is_asked_for_a_keyframe(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = ReceiveOptions(stall_ns=100 * NS_PER_MS, pli_interval_ns=100 * NS_PER_MS)
    loopback = Loopback(NumberCamera(fps=30), options)
    async with loopback as source:
        await collect(source, 3)
        # The decoder swallows everything, as some do on a broken stream without an error.
        pipeline = loopback.receiver.getReceivers()[0].pipeline
        monkeypatch.setattr(pipeline, "_decode", lambda decoder, frame: [])
        await asyncio.sleep(0.5)
        assert 2 <= source.stats().keyframe_requests <= 6
