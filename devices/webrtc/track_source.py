"""Video of a track that has aiortc's own receiver, as a FrameSource."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from aiortc.mediastreams import MediaStreamError

from devices.video.picture_buffer import DecodedPicture, PictureQueue
from devices.video.policy import ReceiveOptions
from devices.video.timeline import VIDEO_CLOCK_HZ
from devices.webrtc.receiver import ReceiveStats
from stream.clock import Clock
from stream.errors import ChannelClosed
from stream.frame import Frame


class TrackSource:
    """Frames of any aiortc track through a bounded buffer: the way without our receiver.

    A frame comes one frame interval later, and what the track itself queues is not bounded while
    nobody iterates.
    """

    def __init__(
        self, track: Any, options: ReceiveOptions, clock: Clock, name: str = "webrtc"
    ) -> None:
        self._track, self._clock, self._name = track, clock, name
        self._pictures = PictureQueue(options, clock)

    async def frames(self) -> AsyncIterator[Frame]:
        """Yield frames in presentation order until the track ends."""
        ended = self._pictures.open()
        pump = asyncio.create_task(self._pump(ended))
        try:
            with suppress(ChannelClosed):
                while True:
                    yield await self._pictures.frame(self._name)
        finally:
            pump.cancel()
            self._pictures.close(ended)

    def capture_unix_ns(self, pts_ns: int) -> int | None:
        """Unknown on this way."""
        return None

    def stats(self) -> ReceiveStats:
        """The numbers so far; packets and frames before decoding are not known."""
        stats = self._pictures.stats
        decoded = stats.received
        return ReceiveStats(0, decoded, decoded, stats.delivered, 0, 0, dict(stats.dropped))

    async def _pump(self, ended: threading.Event) -> None:
        with suppress(MediaStreamError):
            while True:
                picture = await self._track.recv()
                ticks = int(picture.pts * picture.time_base * VIDEO_CLOCK_HZ)
                decoded = DecodedPicture(picture, ticks, self._clock.now_ns())
                await asyncio.to_thread(self._pictures.put, decoded, ended)
        self._pictures.close(ended)
