"""Photos by HTTP POST: a FrameSource for devices that send pictures, not video.

Takes what glasses' photo webhooks send: multipart form data with a `photo` field (and a
`requestId`), or the bare image as the body.
"""

import asyncio
import io
from collections.abc import AsyncIterator

import numpy as np
from aiohttp import web
from PIL import Image as PillowImage
from PIL import ImageOps, UnidentifiedImageError

from devices.http.gate import Gate, GateConfig
from devices.http.problems import Problem
from devices.video.policy import MAX_PIXELS
from stream.channel import Channel, ChannelStats, OverflowPolicy
from stream.clock import Clock
from stream.frame import Frame, Image

FORMATS = ("JPEG", "PNG", "WEBP")
MAX_BYTES = 16 * 1024 * 1024
MAX_REDUCED_PIXELS = 50_000_000  # of a JPEG that is decoded at a part of its size


class PhotoInbox:
    """An endpoint and the frames that came in through it; the oldest goes when it is full."""

    def __init__(
        self,
        clock: Clock,
        gate: GateConfig | None = None,
        capacity: int = 8,
        name: str = "photos",
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self._clock, self._max_pixels = clock, max_pixels
        self._decoding = asyncio.Lock()  # one photo at a time: each takes its pixels in memory
        self._name = name
        gate = gate or GateConfig(max_body_bytes=MAX_BYTES, methods="OPTIONS, POST")
        self._gate = Gate(gate, clock)
        self._channel: Channel[Frame] = Channel(capacity, OverflowPolicy.DROP_OLDEST)
        self._origin_ns: int | None = None

    def routes(self, path: str = "/photo") -> list[web.RouteDef]:
        """What to add to an application."""
        return [web.post(path, self._gate.guard(self._receive))]

    async def frames(self) -> AsyncIterator[Frame]:
        """Yield photos in order of arrival until `close`; `pts_ns` counts from the first one."""
        async for frame in self._channel:
            yield frame

    def stats(self) -> ChannelStats:
        """The numbers so far."""
        return self._channel.stats

    async def close(self) -> None:
        """No more photos; the iteration ends."""
        await self._channel.close()

    async def _receive(self, request: web.Request) -> web.Response:
        self._gate.authorize(request)
        data, request_id = await self._photo(request)
        async with self._decoding:
            image = await asyncio.to_thread(decode_photo, data, self._max_pixels)
        now_ns = self._clock.now_ns()
        self._origin_ns = now_ns if self._origin_ns is None else self._origin_ns
        await self._channel.put(Frame(now_ns - self._origin_ns, now_ns, image, self._name))
        height, width = image.shape[:2]
        return web.json_response(
            {"requestId": request_id, "width": width, "height": height}, status=202
        )

    async def _photo(self, request: web.Request) -> tuple[bytes, str | None]:
        """(image bytes, request id) out of a multipart form or a bare image."""
        if not request.content_type.startswith("multipart/"):
            return await self._gate.body(request), None
        fields = await self._gate.form(request, frozenset(("photo", "requestId")))
        if "photo" not in fields:
            raise Problem(400, "expected a form with a `photo` field, got none")
        request_id = fields.get("requestId", b"").decode(errors="replace")[:200]
        return fields["photo"], request_id or None


def decode_photo(data: bytes, max_pixels: int = MAX_PIXELS) -> Image:
    """JPEG, PNG or WebP bytes -> upright RGB [H, W, 3]; raises Problem 415, 413 or 400."""
    width, height = _webp_canvas(data)
    if width * height > max_pixels:
        raise _too_large(max_pixels, width, height)
    try:
        with PillowImage.open(io.BytesIO(data), formats=FORMATS) as photo:
            # The size comes from the header, before anything is unpacked.
            _reduce(photo, max_pixels)
            if photo.width * photo.height > max_pixels:
                raise _too_large(max_pixels, photo.width, photo.height)
            upright = ImageOps.exif_transpose(photo).convert("RGB")
    except UnidentifiedImageError as error:
        raise Problem(415, f"expected one of {FORMATS}") from error
    except PillowImage.DecompressionBombError as error:
        raise Problem(413, f"expected at most {max_pixels} pixels") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise Problem(400, f"this photo cannot be read: {error}") from error
    return np.asarray(upright, np.uint8).copy()


def _webp_canvas(data: bytes) -> tuple[int, int]:
    """(width, height) of an extended WebP's canvas, (0, 0) of anything else.

    libwebp makes room for the canvas when it is opened, before Pillow tells its size (RFC 9649
    section 2.7); the simple forms are 16,384 pixels a side at most, and checked there.
    """
    if data[:4] != b"RIFF" or data[8:16] != b"WEBPVP8X" or len(data) < 30:
        return 0, 0
    return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")


def _reduce(photo: PillowImage.Image, max_pixels: int) -> None:
    """Have a large JPEG decoded at a half, a quarter or an eighth of its sides, if that fits.

    A phone's photo is larger than what is used of it. Not so progressive ones: all their
    coefficients have to be in memory first.
    """
    pixels = photo.width * photo.height
    if photo.format != "JPEG" or "progressive" in photo.info or pixels > MAX_REDUCED_PIXELS:
        return
    for part in (1, 2, 4, 8):
        if -(-photo.width // part) * -(-photo.height // part) <= max_pixels:
            photo.draft("RGB", (photo.width // part, photo.height // part))
            return


def _too_large(max_pixels: int, width: int, height: int) -> Problem:
    return Problem(
        413,
        f"expected at most {max_pixels} pixels, got {width}x{height}; send a smaller photo, or "
        "raise `serve --max-megapixels`",
    )
