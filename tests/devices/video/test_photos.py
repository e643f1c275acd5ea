"""The photo endpoint: forms and bare images in, frames out; bad and hostile ones refused."""

import asyncio
import io
import threading
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator

import aiohttp
import numpy as np
import pytest
import pytest_asyncio
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from devices.http.admission import hash_token
from devices.http.gate import GateConfig
from devices.http.problems import Problem
from devices.video.photos import PhotoInbox, decode_photo
from stream.clock import MonotonicClock
from stream.frame import Frame

AUTH = {"Authorization": "Bearer token"}


def photo(width: int = 40, height: int = 30, orientation: int = 1, kind: str = "JPEG") -> bytes:
    """Left half red, right half blue; EXIF orientation as given."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2, 0] = pixels[:, width // 2 :, 2] = 255
    out = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(out, kind, exif=exif.tobytes())
    return out.getvalue()


class Post:
    """An inbox behind a running server."""

    def __init__(self, inbox: PhotoInbox, url: str, http: aiohttp.ClientSession) -> None:
        self.inbox, self.url, self.http = inbox, url, http

    async def send(self, data: object, **headers: str) -> aiohttp.ClientResponse:
        return await self.http.post(self.url, data=data, headers={**AUTH, **headers})


@pytest_asyncio.fixture
async def post() -> AsyncIterator[Post]:
    gate = GateConfig(token_digests=(hash_token("token"),), burst=100, max_body_bytes=50_000)
    inbox = PhotoInbox(MonotonicClock(), gate, capacity=2)
    app = web.Application()
    app.add_routes(inbox.routes())
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as http:
        yield Post(inbox, f"http://127.0.0.1:{runner.addresses[0][1]}/photo", http)
    await runner.cleanup()


async def drain(inbox: PhotoInbox) -> list[Frame]:
    await inbox.close()
    return [frame async for frame in inbox.frames()]


async def test_a_form_and_a_bare_image_become_frames(post: Post) -> None:
    form = aiohttp.FormData()
    form.add_field("requestId", "r-7")
    form.add_field("photo", photo(), filename="p.jpg", content_type="image/jpeg")
    answer = await post.send(form)
    assert answer.status == 202
    assert await answer.json() == {"requestId": "r-7", "width": 40, "height": 30}
    bare = await post.send(photo(20, 10, kind="PNG"), **{"Content-Type": "image/png"})
    assert bare.status == 202
    frames = await drain(post.inbox)
    assert [frame.size for frame in frames] == [(30, 40), (10, 20)]
    assert frames[0].pts_ns == 0 < frames[1].pts_ns
    assert frames[0].image[15, 5].tolist() == pytest.approx([254, 0, 0], abs=6)


async def test_the_oldest_photo_goes_when_nobody_looks(post: Post) -> None:
    for width in (10, 20, 30):
        await post.send(photo(width, 10))
    frames = await drain(post.inbox)
    assert [frame.size[1] for frame in frames] == [20, 30]
    assert post.inbox.stats().dropped == {"drop-oldest": 1}


async def test_bad_photos_get_the_right_status(post: Post) -> None:
    assert (await post.send(b"GIF89a")).status == 415
    assert (await post.send(photo()[:200])).status == 400
    assert (await post.send(b"x" * 60_000)).status == 413
    assert (await post.send(photo(), Authorization="Bearer no")).status == 401
    form = aiohttp.FormData({"picture": "x"}, default_to_multipart=True)
    assert (await post.send(form)).status == 400
    assert await drain(post.inbox) == []


def test_photos_stand_upright() -> None:
    turned = decode_photo(photo(orientation=6))  # to be shown turned clockwise
    assert turned.shape == (40, 30, 3)
    assert turned[5, 15, 0] > 200  # what was left is now on top


def test_a_bomb_is_refused_by_its_header() -> None:
    out = io.BytesIO()
    Image.new("1", (20_000, 10_000)).save(out, "PNG")
    with pytest.raises(Problem) as caught:
        decode_photo(out.getvalue())
    assert caught.value.status == 413


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@settings(max_examples=60)
@given(st.binary(max_size=300), st.integers(0, 600))
def test_damaged_photos_are_refused_not_crashed_on(junk: bytes, at: int) -> None:
    good = photo()
    try:
        decode_photo(good[:at] + junk + good[at + len(junk) :])
    except Problem as problem:
        assert problem.status in (400, 413, 415)


def webp_canvas(width: int, height: int) -> bytes:
    """The beginning of an extended WebP that says it is so large."""
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    chunk = b"VP8X" + (10).to_bytes(4, "little") + b"\x02\0\0\0" + sides
    return b"RIFF" + (4 + len(chunk)).to_bytes(4, "little") + b"WEBP" + chunk


def png_header(width: int, height: int) -> bytes:
    head = b"IHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\0\0\0"
    chunk = (13).to_bytes(4, "big") + head + zlib.crc32(head).to_bytes(4, "big")
    return b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\0IDAT"


@pytest.mark.parametrize(
    "data", [webp_canvas(16_384, 16_384), png_header(60_000, 60_000), png_header(3000, 3000)]
)
def test_a_photo_that_unpacks_to_gigabytes_is_refused_by_its_header(data: bytes) -> None:
    tracemalloc.start()
    with pytest.raises(Problem) as refused:
        decode_photo(data)
    assert refused.value.status == 413
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


def progressive(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height)).save(out, "JPEG", progressive=True)
    return out.getvalue()


def test_a_phone_s_photo_is_decoded_at_the_part_that_fits() -> None:
    out = io.BytesIO()
    Image.new("RGB", (4000, 3001), (200, 60, 60)).save(out, "JPEG")
    image = decode_photo(out.getvalue())
    assert image.shape == (1501, 2000, 3) and abs(int(image.mean(axis=(0, 1))[0]) - 200) < 4


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_bound_on_pixels_can_be_set(kind: str) -> None:
    large = progressive(400, 300) if kind == "JPEG" else photo(400, 300, kind=kind)
    with pytest.raises(Problem, match="at most 100000 pixels, got 400x300"):
        decode_photo(large, 100_000)
    assert decode_photo(large, 120_000).shape == (300, 400, 3)


async def test_photos_are_decoded_off_the_loop_one_at_a_time(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads, most, now = set(), 0, 0

    def slowly(data: bytes, max_pixels: int) -> object:
        nonlocal most, now
        now += 1
        most = max(most, now)
        threads.add(threading.current_thread())
        time.sleep(0.05)
        now -= 1
        return decode_photo(data, max_pixels)

    monkeypatch.setattr("devices.video.photos.decode_photo", slowly)
    sent = await asyncio.gather(*(post.send(photo()) for _ in range(4)))
    assert {one.status for one in sent} == {202}
    assert most == 1 and threading.main_thread() not in threads
