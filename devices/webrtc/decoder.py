"""A decoder thread between two bounded buffers."""

import asyncio
import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import av.error
from aiortc.rtcrtpparameters import RTCRtpCodecParameters

from devices.video.picture_buffer import DecodedPicture, PictureQueue
from devices.video.policy import ReceiveOptions
from devices.webrtc.assembler import EncodedFrame
from devices.webrtc.bounded_decoder import BoundedDecoder
from devices.webrtc.encoded_buffer import EncodedBuffer, QueuedFrame, is_keyframe
from stream.channel import ChannelStats
from stream.clock import Clock
from stream.errors import SourceError

logger = logging.getLogger(__name__)
JOIN_S = 2.0


class VideoDecoder(Protocol):
    """Compressed frame in, pictures out; raises av.error.FFmpegError or SourceError on damage."""

    def decode(self, frame: EncodedFrame) -> list[Any]: ...


class DecodePipeline:
    """Compressed frames in from the event loop, pictures out to it, decoding on a thread.

    Made inside the event loop that takes the pictures.
    """

    def __init__(
        self,
        options: ReceiveOptions,
        clock: Clock,
        make_decoder: Callable[[RTCRtpCodecParameters], VideoDecoder] | None = None,
    ) -> None:
        self._clock = clock
        bounded = partial(BoundedDecoder, max_pixels=options.max_pixels)
        self._make_decoder = make_decoder or bounded
        self._encoded = EncodedBuffer(options)
        self.pictures = PictureQueue(options, clock)
        self._ended = self.pictures.open()
        self._codecs: dict[int, RTCRtpCodecParameters] = {}
        self._changed = threading.Condition()
        self.decode_errors = 0
        self.hungry = True  # the decoder waits for something to decode
        self.last_picture_ns = clock.now_ns()
        self._thread = threading.Thread(target=self._run, name="video-decoder", daemon=True)

    def start(self, codecs: dict[int, RTCRtpCodecParameters]) -> None:
        """Start decoding; `codecs` says what each payload type means. Starting twice is fine."""
        if self._thread.ident is None and not self._ended.is_set():
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

    def stats(self) -> tuple[ChannelStats, ChannelStats]:
        """(before the decoder, after it)."""
        with self._changed:
            return self._encoded.stats, self.pictures.stats

    def close(self) -> None:
        """No more pictures; does not wait for the thread. Closing twice is fine."""
        self.pictures.close(self._ended)
        with self._changed:
            self._changed.notify_all()

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
                frame = queued.frame
                decoded = DecodedPicture(picture, frame.timestamp, frame.arrival_ns)
                self.pictures.put(decoded, self._ended)
                self.last_picture_ns = self._clock.now_ns()

    def _next(self) -> QueuedFrame | None:
        with self._changed:
            while not self._ended.is_set():
                queued = self._encoded.take()
                self.hungry = queued is None
                if queued is not None:
                    return queued
                self._changed.wait()
            return None

    def _decode(self, decoder: VideoDecoder, frame: EncodedFrame) -> list[Any]:
        try:
            return decoder.decode(frame)
        except (av.error.FFmpegError, SourceError) as error:
            logger.warning("a video frame was left out: %s", error)
            with self._changed:
                self.decode_errors += 1
                self._encoded.require_keyframe()
            return []
