"""A decoder thread between two bounded buffers."""

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import av.error
from aiortc.codecs import get_decoder
from aiortc.rtcrtpparameters import RTCRtpCodecParameters

from devices.video.assembler import EncodedFrame
from devices.video.buffers import EncodedBuffer, PictureBuffer, QueuedFrame
from devices.video.decodable import is_keyframe
from devices.video.policy import ReceiveOptions
from stream.channel import ChannelStats
from stream.clock import Clock
from stream.errors import ChannelClosed

logger = logging.getLogger(__name__)
JOIN_S = 2.0


class VideoDecoder(Protocol):
    """Compressed frame in, pictures out; raises av.error.FFmpegError on damage."""

    def decode(self, frame: EncodedFrame) -> list[Any]: ...


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded picture, still in the decoder's pixel format."""

    picture: Any  # av.VideoFrame
    ticks: int  # 90 kHz, on the stream's time line
    arrival_ns: int  # when its last packet came


class DecodePipeline:
    """Compressed frames in from the event loop, pictures out to it, decoding on a thread.

    Made inside the event loop that takes the pictures.
    """

    def __init__(
        self,
        options: ReceiveOptions,
        clock: Clock,
        make_decoder: Callable[[RTCRtpCodecParameters], VideoDecoder] = get_decoder,
    ) -> None:
        self._clock = clock
        self.policy = options.policy
        self._make_decoder = make_decoder
        self._encoded = EncodedBuffer(options)
        self._pictures: PictureBuffer[Picture] = PictureBuffer(options)
        self._codecs: dict[int, RTCRtpCodecParameters] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()
        self.decode_errors = 0
        self.hungry = True  # the decoder waits for something to decode
        self.last_picture_ns = clock.now_ns()
        self._thread = threading.Thread(target=self._run, name="video-decoder", daemon=True)

    def start(self, codecs: dict[int, RTCRtpCodecParameters]) -> None:
        """Start decoding; `codecs` says what each payload type means. Starting twice is fine."""
        if self._thread.ident is None and not self._closed:
            self._codecs = dict(codecs)
            self._thread.start()

    def feed(self, frame: EncodedFrame) -> None:
        """Queue one frame for decoding."""
        codec = self._codecs.get(frame.payload_type)
        if codec is None or not frame.data:
            return
        with self._changed:
            queued = QueuedFrame(frame, is_keyframe(codec.name, frame.data))
            self._encoded.offer(queued, self._clock.now_ns())
            self._changed.notify_all()

    def require_keyframe(self) -> None:
        """Decode nothing until a keyframe comes."""
        with self._changed:
            self._encoded.require_keyframe()

    @property
    def needs_keyframe(self) -> bool:
        """Whether frames are refused until a keyframe comes."""
        with self._changed:
            return self._encoded.needs_keyframe

    async def take(self) -> Picture:
        """The next picture; raises ChannelClosed once closed and empty."""
        while True:
            self._ready.clear()
            with self._changed:
                picture = self._pictures.take(self._clock.now_ns())
                closed = self._closed
                self._changed.notify_all()  # there is room again
            if picture is not None:
                return picture
            if closed:
                raise ChannelClosed("the video track has ended")
            await self._ready.wait()

    def take_now(self) -> Picture | None:
        """The next picture if there is one; from any thread."""
        with self._changed:
            picture = self._pictures.take(self._clock.now_ns())
            self._changed.notify_all()
            return picture

    def stats(self) -> tuple[ChannelStats, ChannelStats]:
        """(before the decoder, after it)."""
        with self._changed:
            return self._encoded.stats, self._pictures.stats

    def close(self) -> None:
        """No more pictures; does not wait for the thread. Closing twice is fine."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._ready.set()

    async def aclose(self) -> None:
        """Close and wait for the thread."""
        self.close()
        if self._thread.ident is None:
            return  # nothing was ever received
        await asyncio.to_thread(self._thread.join, JOIN_S)

    def _run(self) -> None:
        decoders: dict[str, VideoDecoder] = {}
        while (queued := self._next()) is not None:
            codec = self._codecs[queued.frame.payload_type]
            if codec.name not in decoders:
                decoders = {codec.name: self._make_decoder(codec)}
            for picture in self._decode(decoders[codec.name], queued.frame):
                self._emit(Picture(picture, queued.frame.timestamp, queued.frame.arrival_ns))

    def _next(self) -> QueuedFrame | None:
        with self._changed:
            while not self._closed:
                queued = self._encoded.take()
                self.hungry = queued is None
                if queued is not None:
                    return queued
                self._changed.wait()
            return None

    def _decode(self, decoder: VideoDecoder, frame: EncodedFrame) -> list[Any]:
        try:
            return decoder.decode(frame)
        except av.error.FFmpegError as error:
            logger.warning("a damaged video frame was left out: %s", error)
            with self._changed:
                self.decode_errors += 1
                self._encoded.require_keyframe()
            return []

    def _emit(self, picture: Picture) -> None:
        with self._changed:
            while not self._closed and not self._pictures.offer(picture, picture.arrival_ns):
                self._changed.wait()
            self.last_picture_ns = self._clock.now_ns()
        with suppress(RuntimeError):  # the event loop may be gone at interpreter exit
            self._loop.call_soon_threadsafe(self._ready.set)
