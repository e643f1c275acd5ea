"""Received video as a FrameSource."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from aiortc.mediastreams import MediaStreamError

from devices.video.picture_buffer import DecodedPicture, PictureQueue
from devices.video.policy import ReceiveOptions
from devices.video.timeline import VIDEO_CLOCK_HZ
from devices.webrtc.receiver import LowLatencyReceiver, ReceiveStats
from stream.clock import Clock
from stream.errors import ChannelClosed
from stream.frame import Frame


class WebRtcSource:
    """Frames of a low-latency receiver. One consumer at a time."""

    def __init__(self, receiver: LowLatencyReceiver, name: str = "webrtc") -> None:
        self._receiver = receiver
        self._name = name

    async def frames(self) -> AsyncIterator[Frame]:
        """Yield frames in presentation order until the track ends.

        `pts_ns` counts from the first frame received, `arrival_ns` is when its last packet came.
        Pictures may change size in mid-stream.
        """
        with suppress(ChannelClosed):
            while True:
                yield await self._receiver.pipeline.pictures.frame(self._name)

    def newer(self) -> Frame | None:
        """A frame that has come since the last one was handed out; as PictureQueue's."""
        return self._receiver.pipeline.pictures.newer(self._name)

    def capture_unix_ns(self, pts_ns: int) -> int | None:
        """When that frame was captured by the sender's wall clock; None until RTCP told."""
        return self._receiver.capture_unix_ns(pts_ns)

    def stats(self) -> ReceiveStats:
        """The receiver's numbers so far."""
        return self._receiver.stats()


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
