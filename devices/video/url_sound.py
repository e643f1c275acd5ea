"""The sound of a live URL, in the shape of a WebRTC audio track."""

import asyncio
from contextlib import suppress
from typing import Any

import av
from aiortc.mediastreams import MediaStreamError

from devices.audio.pcm import HEARING_HZ
from devices.audio.resample import FrameResampler

MAX_FRAMES = 250  # about 5 s


class UrlSound:
    """The sound of one connection: put in by the thread that reads, taken by the event loop.

    Mono, 16 bits, 16 kHz, whatever the camera sends. Bounded: if nobody takes it, the oldest goes.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._resampler = FrameResampler(HEARING_HZ, "s16")
        self._queue: asyncio.Queue[av.AudioFrame | None] = asyncio.Queue(MAX_FRAMES + 1)
        self.dropped = 0  # frames that nobody took in time

    async def recv(self) -> Any:
        """The next av.AudioFrame; raises MediaStreamError when the connection has ended."""
        frame = await self._queue.get()
        if frame is None:
            self._put(None)  # for whoever asks again
            raise MediaStreamError
        return frame

    def put(self, frame: av.AudioFrame) -> None:
        """Add a frame of any format; from the thread that reads."""
        for part in self._resampler.feed(frame):
            self._send(part)

    def end(self) -> None:
        """The connection has ended; from any thread."""
        self._send(None)

    def _send(self, frame: av.AudioFrame | None) -> None:
        with suppress(RuntimeError):  # the event loop may be gone
            self._loop.call_soon_threadsafe(self._put, frame)

    def _put(self, frame: av.AudioFrame | None) -> None:
        while self._queue.full():
            self._queue.get_nowait()
            self.dropped += 1
        self._queue.put_nowait(frame)
