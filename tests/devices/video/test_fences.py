"""A camera by URL that tries to make this machine read other addresses and files for it."""

import asyncio
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import ClassVar

import av
import pytest

from devices.video.address import SCHEMES, fences
from devices.video.policy import ReceiveOptions
from devices.video.url import UrlOptions, UrlSource
from stream.clock import MonotonicClock
from stream.errors import SourceError
from tests.devices.video.odd_cameras import pictures, served


def segment() -> bytes:
    """Pictures as MPEG-TS, which every playlist may name."""
    file = io.BytesIO()
    with av.open(file, "w", format="mpegts") as box:
        stream = box.add_stream("mpeg2video", 25)
        stream.width, stream.height = 64, 48
        for image in pictures(50):
            box.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        box.mux(stream.encode(None))
    return file.getvalue()


class Inner(BaseHTTPRequestHandler):
    """Something that only this machine reaches: it must never be asked."""

    asked: ClassVar[list[str]]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(segment())

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def answering(status: int, headers: dict[str, str], body: bytes) -> Iterator[int]:
    """A camera that always says the same."""

    class Camera(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with served(Camera) as port:
        yield port


def hls(inner: str) -> bytes:
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{inner}\n#EXT-X-ENDLIST\n".encode()


def dash(inner: str) -> bytes:
    return (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT5S"><Period><AdaptationSet mimeType="video/mp4">'
        f'<Representation id="1" bandwidth="1"><BaseURL>{inner}</BaseURL></Representation>'
        "</AdaptationSet></Period></MPD>"
    ).encode()


def concat(inner: str) -> bytes:
    return f"ffconcat version 1.0\nfile '{inner}'\n".encode()


def sdp(inner: str) -> bytes:
    host, port = inner.removeprefix("http://").split("/")[0].split(":")
    return f"v=0\no=- 0 0 IN IP4 {host}\nc=IN IP4 {host}\nm=video {port} RTP/AVP 96\n".encode()


KINDS = {
    "m3u8": (hls, "application/vnd.apple.mpegurl"),
    "mpd": (dash, "application/dash+xml"),
    "ffconcat": (concat, "text/plain"),
    "sdp": (sdp, "application/sdp"),
}


async def reason(url: str) -> str:
    """Why the camera cannot be read."""
    options = UrlOptions(open_timeout_s=2.0, read_timeout_s=1.0, max_failures=1)
    with pytest.raises(SourceError) as refused:
        async with asyncio.timeout(15):
            async for _ in UrlSource(url, MonotonicClock(), options).frames():
                raise AssertionError("a picture of another address")
    return str(refused.value)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_playlist_leads_nowhere(kind: str) -> None:
    Inner.asked = []
    make, mime = KINDS[kind]
    with served(Inner) as inner:
        body = make(f"http://127.0.0.1:{inner}/secret.ts")
        with answering(200, {"Content-Type": mime}, body) as port:
            await reason(f"http://127.0.0.1:{port}/camera.{kind}")
    assert Inner.asked == []


async def test_a_redirect_is_not_followed() -> None:
    Inner.asked = []
    with served(Inner) as inner:
        where = {"Location": f"http://127.0.0.1:{inner}/secret.ts"}
        with answering(302, where, b"") as port:
            await reason(f"http://127.0.0.1:{port}/camera")
    assert Inner.asked == []


@pytest.mark.parametrize("make", [hls, concat])
async def test_no_file_of_this_machine_is_read(
    make: Callable[[str], bytes], tmp_path: Path
) -> None:
    secret = tmp_path / "secret.ts"
    secret.write_bytes(segment())
    body = make(secret.as_uri())
    with answering(200, {"Content-Type": "application/vnd.apple.mpegurl"}, body) as port:
        await reason(f"http://127.0.0.1:{port}/camera.m3u8")


async def test_a_picture_too_large_is_not_taken() -> None:
    with answering(200, {"Content-Type": "video/mp2t"}, segment()) as port:
        options = UrlOptions(ReceiveOptions(max_pixels=64 * 47), max_failures=1)
        source = UrlSource(f"http://127.0.0.1:{port}/camera", MonotonicClock(), options)
        with pytest.raises(SourceError, match="64x48 are too large"):
            async for _ in source.frames():
                raise AssertionError("a picture beyond the bound")


def test_every_scheme_is_fenced() -> None:
    for scheme in SCHEMES:
        fenced = fences(f"{scheme.upper()}://camera/live")
        names = {*",".join(fenced.values()).split(",")}
        assert not names & {"hls", "dash", "concat", "file", "crypto", "data", "sdp", "image2"}
