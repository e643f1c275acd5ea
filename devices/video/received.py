"""Received video as a FrameSource."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
from aiortc.mediastreams import MediaStreamError

from devices.video.buffers import PictureBuffer
from devices.video.decoder import Picture
from devices.video.policy import FramePolicy, ReceiveOptions
from devices.video.timeline import ticks_to_ns
from devices.webrtc.receiver import LowLatencyReceiver, ReceiveStats
from stream.clock import NS_PER_S, Clock
from stream.errors import ChannelClosed
from stream.frame import Frame, Image


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
        while True:
            try:
                picture = await self._receiver.pipeline.take()
            except ChannelClosed:
                return
            # Only pictures that are used are converted, and not on the event loop.
            yield await asyncio.to_thread(self._frame, picture)

    def newer(self) -> Frame | None:
        """A frame that has come since the last one was handed out; from any thread.

        For a consumer that had to wait for its turn with the frame before. None under a policy
        that hands out every frame.
        """
        if self._receiver.pipeline.policy is not FramePolicy.FRESHEST:
            return None
        picture = self._receiver.pipeline.take_now()
        return None if picture is None else self._frame(picture)

    def _frame(self, picture: Picture) -> Frame:
        image = to_rgb(picture.picture)
        return Frame(ticks_to_ns(picture.ticks), picture.arrival_ns, image, self._name)

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
        self._track = track
        self._options = options
        self._clock = clock
        self._name = name
        self._buffer: PictureBuffer[tuple[Any, int]] = PictureBuffer(options)
        self._changed = asyncio.Event()
        self._ended = False
        self._received = 0

    async def frames(self) -> AsyncIterator[Frame]:
        """Yield frames in presentation order until the track ends."""
        pump = asyncio.create_task(self._pump())
        try:
            while True:
                self._changed.clear()
                item = self._buffer.take(self._clock.now_ns())
                if item is not None:
                    picture, arrival_ns = item
                    image = await asyncio.to_thread(to_rgb, picture)
                    pts_ns = int(picture.pts * picture.time_base * NS_PER_S)
                    yield Frame(pts_ns, arrival_ns, image, self._name)
                elif self._ended:
                    return
                else:
                    await self._changed.wait()
        finally:
            pump.cancel()

    def capture_unix_ns(self, pts_ns: int) -> int | None:
        """Unknown on this way."""
        return None

    def stats(self) -> ReceiveStats:
        """The numbers so far; packets and frames before decoding are not known."""
        stats = self._buffer.stats
        return ReceiveStats(
            0, self._received, self._received, stats.delivered, 0, 0, dict(stats.dropped)
        )

    async def _pump(self) -> None:
        try:
            while True:
                picture = await self._track.recv()
                self._received += 1
                arrival_ns = self._clock.now_ns()
                while not self._buffer.offer((picture, arrival_ns), arrival_ns):
                    self._changed.set()
                    await asyncio.sleep(0.005)
                self._changed.set()
        except MediaStreamError:
            self._ended = True
            self._changed.set()


def to_rgb(picture: Any) -> Image:
    """av.VideoFrame -> upright RGB [H, W, 3] uint8; rotation as its display matrix says."""
    image = picture.to_ndarray(format="rgb24")
    turns = round((picture.rotation or 0) / 90) % 4  # counter-clockwise, as numpy counts
    return np.ascontiguousarray(np.rot90(image, turns) if turns else image)
