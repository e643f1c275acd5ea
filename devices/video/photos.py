"""Photos by HTTP POST: a FrameSource for devices that send pictures, not video.

Takes what glasses' photo webhooks send: multipart form data with a `photo` field (and a
`requestId`), or the bare image as the body.
"""

import io
from collections.abc import AsyncIterator

import numpy as np
from aiohttp import web
from PIL import Image as PillowImage
from PIL import ImageOps, UnidentifiedImageError

from devices.http.gate import Gate, GateConfig
from devices.http.problems import Problem
from stream.channel import Channel, ChannelStats, OverflowPolicy
from stream.clock import Clock
from stream.frame import Frame, Image

FORMATS = ("JPEG", "PNG", "WEBP")
MAX_PIXELS = 50_000_000
MAX_BYTES = 16 * 1024 * 1024


class PhotoInbox:
    """An endpoint and the frames that came in through it; the oldest goes when it is full."""

    def __init__(
        self,
        clock: Clock,
        gate: GateConfig | None = None,
        capacity: int = 8,
        name: str = "photos",
    ) -> None:
        self._clock = clock
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
        image = decode_photo(data)
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


def decode_photo(data: bytes) -> Image:
    """JPEG, PNG or WebP bytes -> upright RGB [H, W, 3]; raises Problem 415, 413 or 400."""
    try:
        with PillowImage.open(io.BytesIO(data), formats=FORMATS) as photo:
            # The size comes from the header, before anything is unpacked.
            if photo.width * photo.height > MAX_PIXELS:
                raise Problem(413, f"expected at most {MAX_PIXELS} pixels, got {photo.size}")
            upright = ImageOps.exif_transpose(photo).convert("RGB")
    except UnidentifiedImageError as error:
        raise Problem(415, f"expected one of {FORMATS}") from error
    except PillowImage.DecompressionBombError as error:
        raise Problem(413, f"expected at most {MAX_PIXELS} pixels") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise Problem(400, f"this photo cannot be read: {error}") from error
    return np.asarray(upright, np.uint8).copy()
