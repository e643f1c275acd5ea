"""Live URLs: FFmpeg pushes over real sockets; breaks, wrong addresses, secrets in the URL."""

import asyncio
import os
import socket
import sys
from functools import partial
from itertools import pairwise
from pathlib import Path
from socketserver import BaseRequestHandler
from typing import ClassVar

import av
import pytest

from devices.video.policy import FramePolicy, ReceiveOptions
from devices.video.url import UrlOptions, UrlSource
from stream.clock import NS_PER_MS, NS_PER_S, MonotonicClock
from stream.errors import ConfigError, SourceError
from tests.devices.video.odd_cameras import DeafRtsp, Mjpeg, QuietHttp, RawH264, pictures, served
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


@pytest.mark.parametrize("camera,url", [(RawH264, "tcp://{}"), (Mjpeg, "http://{}/stream")])
async def test_a_camera_without_time_stamps_lives_in_time_of_arrival(
    camera: type[BaseRequestHandler], url: str
) -> None:
    with served(camera) as port:
        source = UrlSource(url.format(f"127.0.0.1:{port}"), MonotonicClock(), UrlOptions(EVERY))
        seen: list[tuple[int, int]] = []
        async with asyncio.timeout(25):
            async for frame in source.frames():
                seen.append((frame.pts_ns, frame.arrival_ns))
                if len(seen) == 60:
                    break
    stream_ns, arrival_ns = (last - first for first, last in zip(seen[0], seen[-1], strict=True))
    assert arrival_ns > NS_PER_S // 2  # the first ones come together, after a look at the stream
    assert abs(stream_ns - arrival_ns) < NS_PER_MS


async def test_rtsp_asks_for_tcp_where_udp_brings_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("WARNING")

    class Camera(DeafRtsp):
        transports: ClassVar[list[str]] = []

    options = UrlOptions(open_timeout_s=1.0, read_timeout_s=1.0, first_retry_s=0.05, max_failures=3)
    with served(Camera) as port:
        source = UrlSource(f"rtsp://127.0.0.1:{port}/live", MonotonicClock(), options)
        with pytest.raises(SourceError, match="nothing came over UDP in time"):
            async with asyncio.timeout(20):
                await anext(source.frames())
    assert ["interleaved" in asked for asked in Camera.transports] == [False, True, False]
    assert "nothing came over TCP in time" in caplog.text


async def test_a_stream_with_a_strange_title_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as out:
        out.metadata["title"] = "CAFEQQQQ"
        stream = out.add_stream("mpeg4", rate=25)
        stream.width, stream.height = 64, 48
        for image in pictures(10):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        out.mux(stream.encode(None))
    path.write_bytes(path.read_bytes().replace(b"CAFEQQQQ", b"CAF\xe9QQQQ"))
    with served(partial(QuietHttp, directory=tmp_path)) as port:
        source = UrlSource(f"http://127.0.0.1:{port}/a.mkv", MonotonicClock(), UrlOptions(EVERY))
        async with asyncio.timeout(20):
            assert (await anext(source.frames())).size == (48, 64)


async def test_whatever_a_library_raises_is_told_and_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*args: object, **options: object) -> None:
        raise UnicodeDecodeError("utf-8", b"\xe9", 0, 1, "invalid")

    monkeypatch.setattr("devices.video.url.av.open", broken)
    options = UrlOptions(max_failures=2, first_retry_s=0.01)
    source = UrlSource("tcp://127.0.0.1:9", MonotonicClock(), options)
    with pytest.raises(SourceError, match="invalid"):
        await anext(source.frames())
