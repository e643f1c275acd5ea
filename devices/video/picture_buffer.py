"""Decoded pictures between a decoder and their consumer: bounded, never stale."""

import asyncio
import threading
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Generic, TypeVar

from devices.video.policy import FramePolicy, ReceiveOptions
from devices.video.timeline import ticks_to_ns
from stream.channel import ChannelStats, CountedQueue
from stream.clock import Clock
from stream.errors import ChannelClosed
from stream.frame import Frame
from stream.sources.pixels import to_rgb

T = TypeVar("T")

SUPERSEDED = "superseded"  # a newer picture took its place
STALE = "stale"  # it waited longer than the staleness budget


class PictureBuffer(CountedQueue[tuple[T, int]], Generic[T]):
    """Decoded pictures between decoder and consumer."""

    def __init__(self, options: ReceiveOptions) -> None:
        fresh = options.policy is FramePolicy.FRESHEST
        super().__init__(1 if fresh else options.decoded_capacity)
        self._policy = options.policy
        self._budget_ns = options.max_staleness_ns
        self._lagging = False  # pictures were lost since the last take

    def offer(self, item: T, arrival_ns: int) -> bool:
        """Add a picture; False (and nothing added) when EVERY_FRAME has no room for it yet."""
        if self._full:
            if self._policy is FramePolicy.EVERY_FRAME:
                return False
            self._drop(SUPERSEDED)
            self._lagging = True
        self._append((item, arrival_ns))
        self._received += 1
        return True

    def take(self, now_ns: int) -> T | None:
        """The next picture to use, or None. Pictures past the staleness budget are dropped."""
        while self._lagging and len(self._items) > 1:
            self._drop(SUPERSEDED)
        self._lagging = False
        while self._items:
            late = now_ns - self._items[0][1] > self._budget_ns
            if not late or self._policy is FramePolicy.EVERY_FRAME:
                return self._popleft()[0]
            self._drop(STALE)
        return None


@dataclass(frozen=True, slots=True)
class DecodedPicture:
    """A decoded picture, still in the decoder's pixel format."""

    picture: Any  # av.VideoFrame
    ticks: int  # 90 kHz, on the stream's time line
    arrival_ns: int  # when its last packet came
    aspect: Fraction | None = None  # of its pixels, where that is known

    def frame(self, source: str) -> Frame:
        """The same in RGB."""
        image = to_rgb(self.picture, self.aspect)
        return Frame(ticks_to_ns(self.ticks), self.arrival_ns, image, source)


class PictureQueue:
    """A PictureBuffer from the thread that decodes to the event loop that uses the pictures."""

    def __init__(self, options: ReceiveOptions, clock: Clock) -> None:
        self._policy, self._clock = options.policy, clock
        self._pictures: PictureBuffer[DecodedPicture] = PictureBuffer(options)
        self._room = threading.Condition()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready, self._ended = asyncio.Event(), threading.Event()

    def open(self) -> threading.Event:
        """Begin, on the consumer's event loop; what ends it for both sides, with `close`."""
        self._loop = asyncio.get_running_loop()
        self._ready, self._ended = asyncio.Event(), threading.Event()
        return self._ended

    def close(self, ended: threading.Event) -> None:
        """No more pictures, or no more consumer; from any thread. Closing twice is fine."""
        ended.set()
        with self._room:
            self._room.notify_all()
        self._wake()

    def put(self, picture: DecodedPicture, ended: threading.Event) -> None:
        """Add one; from the thread. Under EVERY_FRAME waits for room, until `ended`."""
        with self._room:
            while not ended.is_set() and not self._pictures.offer(picture, picture.arrival_ns):
                self._room.wait()
        self._wake()

    async def take(self) -> DecodedPicture:
        """The next one; raises ChannelClosed once closed and empty."""
        while True:
            self._ready.clear()
            over = self._ended.is_set()
            picture = self.take_now()
            if picture is not None:
                return picture
            if over:
                raise ChannelClosed("the video has ended")
            await self._ready.wait()

    def take_now(self) -> DecodedPicture | None:
        """The next one if there is one; from any thread."""
        with self._room:
            picture = self._pictures.take(self._clock.now_ns())
            self._room.notify_all()  # there is room again
        return picture

    async def frame(self, source: str) -> Frame:
        """The next one as a frame; raises ChannelClosed once closed and empty."""
        picture = await self.take()
        # Only pictures that are used are converted, and not on the event loop.
        return await asyncio.to_thread(picture.frame, source)

    def newer(self, source: str) -> Frame | None:
        """A frame that has come since the last one was handed out; from any thread.

        For a consumer that had to wait for its turn with the frame before. None under a policy
        that hands out every frame.
        """
        picture = self.take_now() if self._policy is FramePolicy.FRESHEST else None
        return None if picture is None else picture.frame(source)

    @property
    def stats(self) -> ChannelStats:
        """The numbers so far."""
        with self._room:
            return self._pictures.stats

    def _wake(self) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # the event loop may be gone at interpreter exit
                self._loop.call_soon_threadsafe(self._ready.set)
