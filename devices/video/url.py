"""Live video from a URL (RTSP, SRT, RTMP, MPEG-TS, MJPEG over HTTP) for devices without WebRTC.

FFmpeg, through PyAV, reads and decodes on a thread; the consumer gets fresh frames under the same
policies as over WebRTC, the sound if there is any, and the connection is made again when it breaks.
"""

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import av
import av.error

from devices.video.address import fences, public_name
from devices.video.picture_buffer import DecodedPicture, PictureQueue
from devices.video.policy import ReceiveOptions
from devices.video.stream_time import StreamTime
from devices.video.url_sound import UrlSound
from stream.clock import Clock
from stream.errors import ChannelClosed, SourceError
from stream.frame import Frame
from stream.sources.container import ANY_TEXT, main_video
from stream.sources.pixels import pixel_aspect

logger = logging.getLogger(__name__)

# Look at half a second to learn what is in the stream; what was looked at is decoded too.
LOW_DELAY = {"flags": "low_delay", "analyzeduration": "500000", "fpsprobesize": "0"}
BROKEN = "broken-packet"
CORRUPT = "corrupt-picture"
BROKEN_SOUND = "broken-sound"
JOIN_S = 1.0
MAX_STREAMS = 16  # of one address; more would be looked at without a bound on their pictures


@dataclass(frozen=True, slots=True)
class UrlOptions:
    """How to read a live URL."""

    receive: ReceiveOptions = field(default_factory=ReceiveOptions)
    format: str | None = None  # FFmpeg's name of the container; None = found out
    options: Mapping[str, str] = field(default_factory=dict)  # FFmpeg's, e.g. rtsp_transport: tcp
    open_timeout_s: float = 10.0
    read_timeout_s: float = 5.0  # no data for so long: connect again
    first_retry_s: float = 0.5  # doubled after each failure in a row
    max_retry_s: float = 8.0
    max_failures: int | None = None  # in a row, then SourceError; None = never give up


@dataclass(frozen=True, slots=True)
class UrlStats:
    """A live source's numbers so far."""

    connections: int
    decoded: int
    delivered: int
    dropped: dict[str, int]  # by cause
    last_error: str | None


class UrlSource:
    """A FrameSource over a URL. One consumer at a time; the thread lives as long as it iterates.

    Raises ConfigError for a URL that is no live stream.
    """

    def __init__(self, url: str, clock: Clock, options: UrlOptions | None = None) -> None:
        self.name = public_name(url)
        self._url = url
        self._clock = clock
        self._options = options or UrlOptions()
        self._pictures = PictureQueue(self._options.receive, clock)
        self._time = StreamTime()
        self._over_tcp = False  # RTSP: the packets of the next connection
        self._faults: Counter[str] = Counter()
        self._connections = 0
        self._last_error: str | None = None
        self._told: str | None = None  # trouble of this connection, in the log
        self._lock = threading.Lock()
        self._sounds: asyncio.Queue[UrlSound] = asyncio.Queue()  # of connections, to be taken

    async def sound(self) -> UrlSound:
        """The sound of the connection there is, or of the next one that has any.

        It comes while `frames` is iterated over; the audio stream that FFmpeg finds best.
        """
        sound = await self._sounds.get()
        while not self._sounds.empty():
            sound = self._sounds.get_nowait()  # the others are over
        return sound

    async def frames(self) -> AsyncIterator[Frame]:
        """Yield frames in order; ends never by itself.

        Raises SourceError after `max_failures` failures in a row.
        """
        self._loop, ended = asyncio.get_running_loop(), self._pictures.open()
        thread = threading.Thread(target=self._work, args=(ended,), name="live", daemon=True)
        thread.start()
        try:
            while True:
                yield await self._pictures.frame(self.name)
        except ChannelClosed as error:
            raise SourceError(f"cannot read {self.name}: {self._last_error}") from error
        finally:
            self._pictures.close(ended)
            await asyncio.to_thread(thread.join, JOIN_S)

    def newer(self) -> Frame | None:
        """A frame that has come since the last one was handed out; as PictureQueue's."""
        return self._pictures.newer(self.name)

    def stats(self) -> UrlStats:
        """The numbers so far."""
        with self._lock:
            pictures = self._pictures.stats
            dropped = {**pictures.dropped, **self._faults}
            return UrlStats(
                self._connections,
                pictures.received,
                pictures.delivered,
                dropped,
                self._last_error,
            )

    def _work(self, ended: threading.Event) -> None:
        """Connect, read until it breaks, wait a little longer each time."""
        options, failures = self._options, 0
        while not ended.is_set():
            came = False
            try:
                for picture in self._read(ended):
                    came = True
                    self._pictures.put(picture, ended)
                self._note("the sender ended the stream")
            except Exception as error:  # whatever a library raises: the camera may come back
                self._note(self._reason(error))
            failures = 1 if came else failures + 1
            self._over_tcp = self._may_choose and self._over_tcp is came
            if options.max_failures is not None and failures >= options.max_failures:
                self._pictures.close(ended)
                return
            pause_s = min(options.max_retry_s, options.first_retry_s * 2 ** min(failures - 1, 16))
            ended.wait(pause_s)

    def _read(self, ended: threading.Event) -> Iterator[DecodedPicture]:
        options = self._options
        timeout = (options.open_timeout_s, options.read_timeout_s)
        over = {"rtsp_transport": "tcp"} if self._over_tcp else {}
        settings = {**LOW_DELAY, **over, **fences(self._url), **options.options}
        opening: dict[str, Any] = {"format": options.format, "timeout": timeout, **ANY_TEXT}
        bound = {"max_pixels": str(options.receive.max_pixels)}  # FFmpeg reads the size first
        opening["stream_options"] = [bound] * MAX_STREAMS
        with av.open(self._url, options=settings, **opening) as box:
            seen = main_video(box)
            if seen is None:
                raise OSError("there is no video in this stream")
            with self._lock:
                self._connections += 1
            self._told = None
            size = seen.width, seen.height
            if size[0] * size[1] > options.receive.max_pixels:
                raise OSError(f"its pictures of {size[0]}x{size[1]} are too large to be taken")
            seen.codec_context.options = bound
            self._time.connect(box)
            heard = box.streams.best("audio")
            sound = None if heard is None else self._offer_sound()
            wanted = [one for one in (seen, heard) if one is not None]
            try:
                for packet in box.demux(wanted):
                    if ended.is_set():
                        return
                    if packet.stream is not heard:
                        yield from self._decode(packet)
                    elif sound is not None:
                        self._hear(packet, sound)
            finally:
                if sound is not None:
                    sound.end()

    def _offer_sound(self) -> UrlSound:
        sound = UrlSound(self._loop)
        with suppress(RuntimeError):  # the event loop may be gone
            self._loop.call_soon_threadsafe(self._sounds.put_nowait, sound)
        return sound

    def _hear(self, packet: Any, sound: UrlSound) -> None:
        try:
            for frame in packet.decode():
                sound.put(frame)
        except (av.error.FFmpegError, ValueError):
            self._count(BROKEN_SOUND)

    def _decode(self, packet: Any) -> Iterator[DecodedPicture]:
        arrival_ns = self._clock.now_ns()
        try:
            pictures = packet.decode()
        except av.error.FFmpegError:
            self._count(BROKEN)
            return
        for picture in pictures:
            if picture.is_corrupt:
                self._count(CORRUPT)
                continue
            ticks = self._time.ticks(picture, arrival_ns)
            yield DecodedPicture(picture, ticks, arrival_ns, pixel_aspect(packet.stream))

    @property
    def _may_choose(self) -> bool:
        """Whether it is open over which transport packets come: many a camera's UDP is lost."""
        given = {"rtsp_transport", "rtsp_flags"} & self._options.options.keys()
        return self._url.lower().startswith("rtsp://") and not given

    def _reason(self, error: Exception) -> str:
        if isinstance(error, av.error.ExitError):  # PyAV's word for a timeout
            over = f" over {'TCP' if self._over_tcp else 'UDP'}" if self._may_choose else ""
            return f"nothing came{over} in time"
        return (getattr(error, "strerror", None) or str(error)).replace(self._url, self.name)

    def _note(self, error: str) -> None:
        # Once for each trouble: a camera may be away for days.
        level = logging.DEBUG if error == self._told else logging.WARNING
        logger.log(level, "%s: %s; connecting again until it comes", self.name, error)
        self._told = error
        with self._lock:
            self._last_error = error

    def _count(self, cause: str) -> None:
        with self._lock:
            self._faults[cause] += 1
