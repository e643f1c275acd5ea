"""Cameras that the box itself reads (RTSP, SRT, ...), and photos that devices post to it.

Each lives in a session of its own, which lasts as long as the server: whoever opens its link sees,
asks and hears there. A camera's own sound is listened to as a wearer's microphone is: while a
client says so, or all the time.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

from devices.video.photos import PhotoInbox
from devices.video.policy import ReceiveOptions
from devices.video.url import UrlOptions, UrlSource
from foveal.live.protocol.server import ErrorMessage
from foveal.live.room import Room
from foveal.live.speech.microphone import MakeListener, Microphone
from foveal.output.annotate import shrink
from stream.clock import NS_PER_S, Clock
from stream.errors import PromptError, SourceError
from stream.frame import Frame

PHOTO_ROWS = 1080  # a photo has many times the pixels of a video, and its masks would too
GONE_S = 5.0  # without a frame: the camera is not in use
PHOTO_GONE_S = 60.0
RETRY_NS = 2 * NS_PER_S


class Source(Protocol):
    """A camera or an inbox: frames as long as they come."""

    def frames(self) -> AsyncIterator[Frame]: ...

    def stats(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class Spot:
    """A session of the box's own: which camera, and who sees it."""

    name: str
    room: Room


class Cameras:
    """All of them; belongs to the event loop."""

    def __init__(
        self,
        urls: tuple[str, ...],
        inbox: PhotoInbox | None,
        clock: Clock,
        receive: ReceiveOptions,
        open_mic: bool = False,
    ) -> None:
        """`open_mic`: listen to the cameras' sound all the time.

        Raises ConfigError for a URL that is no live stream.
        """
        options = UrlOptions(receive=receive)
        live = [UrlSource(url, clock, options) for url in urls]
        self._sources: list[tuple[str, Source, float]] = [(one.name, one, GONE_S) for one in live]
        if inbox is not None:
            self._sources.append(("photos", inbox, PHOTO_GONE_S))
        self._clock, self._open_mic = clock, open_mic
        self._tasks: list[asyncio.Task[None]] = []

    def __len__(self) -> int:
        return len(self._sources)

    def start(self, rooms: list[Room], make_listener: MakeListener | None = None) -> list[Spot]:
        """Live on each in one of the rooms, which are kept for it."""
        spots = []
        for (name, source, gone_s), room in zip(self._sources, rooms, strict=True):
            room.kept = True
            room.enter()
            self._tasks.append(asyncio.create_task(self._live(source, room, gone_s)))
            if isinstance(source, UrlSource) and make_listener is not None:
                self._tasks.append(asyncio.create_task(self._hear(source, room, make_listener)))
            spots.append(Spot(name, room))
        return spots

    async def close(self) -> None:
        """Let go of them."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _live(self, source: Source, room: Room, gone_s: float) -> None:
        """Look at a camera whenever it has pictures, unless another has come to its session."""
        try:
            while not room.closed.is_set():
                present = _Present(source, gone_s)
                try:
                    async with present:
                        await present.come()
                        steady = isinstance(source, UrlSource)
                        await room.live.watch(present, steady, present.why)
                except (PromptError, SourceError) as error:
                    room.tell(ErrorMessage(reason=str(error)))
                while room.live.camera and not room.closed.is_set():
                    await self._pause()  # another camera took over: its place is kept for it
                await self._pause()
        finally:
            room.leave()

    async def _hear(self, source: UrlSource, room: Room, make_listener: MakeListener) -> None:
        """Listen to a camera's sound, one connection of it after the other."""
        while True:
            sound = await source.sound()
            listener = make_listener(room, self._clock)
            microphone = Microphone(sound, listener, self._clock, self._open_mic)
            with room.hears(microphone.talk):
                await microphone.run()

    async def _pause(self) -> None:
        await self._clock.sleep_until(self._clock.now_ns() + RETRY_NS)


class _Present:
    """A camera while it has pictures: a FrameSource that ends when none come any more."""

    def __init__(self, source: Source, gone_s: float) -> None:
        self._source, self._gone_s = source, gone_s
        self._frames: AsyncGenerator[Frame, None] = source.frames()  # type: ignore[assignment]
        self._first: Frame | None = None
        self._reason: str | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._frames.aclose()

    async def come(self) -> None:
        """Wait for its first picture; raises PromptError when it ends without."""
        try:
            self._first = await anext(self._frames)
        except StopAsyncIteration as error:
            raise PromptError("expected pictures of a camera, it ended") from error

    async def frames(self) -> AsyncIterator[Frame]:
        """From the first picture on."""
        frame, self._first = self._first, None
        while frame is not None:
            yield await asyncio.to_thread(_fit, frame)
            try:
                async with asyncio.timeout(self._gone_s):
                    frame = await anext(self._frames, None)
            except TimeoutError:
                self._reason = f"no picture has come for {self._gone_s:g} s; it is looked for"
                return

    def newer(self) -> Frame | None:
        """A frame that has come since the last one was handed out; from any thread."""
        newer = getattr(self._source, "newer", None)  # an inbox keeps every photo
        frame: Frame | None = None if newer is None else newer()
        return None if frame is None else _fit(frame)

    def why(self) -> str | None:
        """Why it has ended, once it has."""
        return self._reason

    def stats(self) -> Any:
        """The camera's drops."""
        return self._source.stats()


def _fit(frame: Frame) -> Frame:
    image = shrink(frame.image, PHOTO_ROWS)
    return frame if image is frame.image else replace(frame, image=image)
