"""A real aiortc peer publishes; numbered frames come out in order and at once."""

import asyncio
from itertools import pairwise

import pytest

from devices.webrtc.connection import VideoSource
from devices.webrtc.fakes import Loopback, NumberCamera, prefer, read_number
from devices.webrtc.policy import FramePolicy, ReceiveOptions
from devices.webrtc.source import WebRtcSource
from stream.clock import NS_PER_MS, NS_PER_S
from stream.frame import Frame


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
    camera = NumberCamera(fps=10)
    loopback = Loopback(camera, ReceiveOptions(FramePolicy.EVERY_FRAME))
    prefer(loopback.sender, mime)
    async with loopback as source:
        assert isinstance(source, WebRtcSource)
        seen = 0
        async for frame in source.frames():
            assert read_number(frame.image) == seen
            assert abs(frame.pts_ns - seen * NS_PER_S // 10) < NS_PER_MS
            # Stock aiortc gives frame n out only after frame n + 1 was sent.
            assert len(camera.shots) <= seen + 1 or seen < 2
            seen += 1
            if seen == 12:
                break
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
    camera = NumberCamera(fps=30)
    loopback = Loopback(camera)
    async with loopback as source:
        assert source.capture_unix_ns(0) is None
        first = None
        async for frame in source.frames():
            first = first or source.capture_unix_ns(frame.pts_ns)
            if first is not None and frame.pts_ns > 3 * NS_PER_S:
                break
        last = source.capture_unix_ns(frame.pts_ns)
        again = source.capture_unix_ns(frame.pts_ns - NS_PER_S)
    assert last is not None and again is not None
    assert last - again == NS_PER_S
    assert 1_500_000_000 * NS_PER_S < last < 5_000_000_000 * NS_PER_S


async def test_the_source_ends_when_the_peer_hangs_up() -> None:
    camera = NumberCamera(fps=30)
    loopback = Loopback(camera)
    async with loopback as source:
        await collect(source, 3)
        await loopback.sender.close()
        async with asyncio.timeout(5):
            async for _ in source.frames():
                pass
