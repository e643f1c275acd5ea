"""Live URLs: FFmpeg pushes over real sockets; breaks, wrong addresses, secrets in the URL."""

import asyncio
import os
import socket
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from devices.video.policy import FramePolicy, ReceiveOptions
from devices.video.url import UrlOptions, UrlSource
from stream.clock import MonotonicClock
from stream.errors import ConfigError, SourceError
from tests.doubles.webrtc import read_number

ROOT = Path(__file__).resolve().parents[3]
EVERY = ReceiveOptions(FramePolicy.EVERY_FRAME)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def push(
    url: str, container: str, first: int, count: int, *sound: str
) -> asyncio.subprocess.Process:
    script = Path(__file__).with_name("ffmpeg_push.py")
    return await asyncio.create_subprocess_exec(
        *(sys.executable, str(script), url, container, str(first), str(count), *sound),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


async def test_a_stream_that_breaks_is_connected_to_again() -> None:
    port = free_port()
    options = UrlOptions(EVERY, "mpegts", first_retry_s=0.1, max_retry_s=0.2)
    source = UrlSource(f"tcp://127.0.0.1:{port}", MonotonicClock(), options)
    listening = f"tcp://127.0.0.1:{port}?listen=1"
    pushing = await push(listening, "mpegts", 0, 20)
    numbers, times = [], []
    async with asyncio.timeout(25):
        async for frame in source.frames():
            numbers.append(read_number(frame.image))
            times.append(frame.pts_ns)
            if pushing.returncode is None and len(numbers) == 10:
                await pushing.wait()
                pushing = await push(listening, "mpegts", 100, 12)
            if numbers[-1] >= 105:
                break
    await pushing.wait()
    assert {*range(20)} <= {*numbers}
    assert {*range(100, 105)} <= {*numbers}
    assert all(b > a for a, b in pairwise(numbers))
    assert all(b > a for a, b in pairwise(times))  # one time line over both
    assert source.stats().connections == 2
    assert source.stats().delivered == len(numbers)


async def test_a_camera_pushes_rtsp() -> None:
    port = free_port()
    url = f"rtsp://127.0.0.1:{port}/glasses"
    options = UrlOptions(EVERY, "rtsp", {"rtsp_flags": "listen", "listen_timeout": "10"})
    source = UrlSource(url, MonotonicClock(), options)
    numbers: list[int] = []

    async def receive() -> None:
        async for frame in source.frames():
            numbers.append(read_number(frame.image))
            if len(numbers) == 15:
                return

    receiving = asyncio.create_task(receive())
    await asyncio.sleep(0.3)
    pushing = await push(url, "rtsp", 0, 40)
    await asyncio.wait_for(receiving, 20)
    await pushing.wait()
    assert all(b == a + 1 for a, b in pairwise(numbers))


async def test_an_address_where_nobody_answers_is_given_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("WARNING")
    options = UrlOptions(max_failures=4, first_retry_s=0.01)
    url = f"tcp://user:secret@127.0.0.1:{free_port()}"
    source = UrlSource(url, MonotonicClock(), options)
    with pytest.raises(SourceError, match="cannot read tcp://127.0.0.1") as caught:
        await anext(source.frames())
    assert "secret" not in str(caught.value) + source.name + str(source.stats())
    assert source.stats().connections == 0
    told = [record.getMessage() for record in caplog.records if record.name == "devices.video.url"]
    assert len(told) == 1 and "secret" not in told[0]  # not again with every attempt


@pytest.mark.parametrize("url", ["file:///etc/passwd", "/etc/passwd", "concat:a|b", ""])
def test_only_live_urls_are_opened(url: str) -> None:
    with pytest.raises(ConfigError, match="expected a URL"):
        UrlSource(url, MonotonicClock())
