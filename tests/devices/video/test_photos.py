"""The photo endpoint: forms and bare images in, frames out; bad and hostile ones refused."""

import io
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
