"""The wearer's microphone: sound in, questions out, and silence from us when they speak."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from aiortc.mediastreams import MediaStreamError

from foveal.live.protocol.client import TalkMessage
from foveal.live.protocol.server import HearingMessage, TranscriptMessage
from foveal.live.speech.voice import LiveVoice
from stream.clock import NS_PER_MS, NS_PER_S, Clock

logger = logging.getLogger(__name__)

TAIL_NS = 280 * NS_PER_MS  # heard after push-to-talk is let go: people let go with the last word
STALL_NS = NS_PER_S  # a track without sound for so long has stopped, for now
WATCH_NS = 100 * NS_PER_MS

Sound = npt.NDArray[np.int16]  # [N, channels]


class Listener(Protocol):
    """Hears one stream: `devices.listening.listener.SpeechListener` is one."""

    def feed(self, pcm: Sound, pts_ns: int, rate_hz: int = 48_000) -> None: ...

    def press(self) -> None: ...

    def release(self) -> None: ...

    def pause(self) -> None: ...

    def cancel(self) -> None: ...


class Ear(Protocol):
    """What a listener acts on; the session of the wearer."""

    @property
    def voice(self) -> LiveVoice | None:
        """Our voice, which the wearer may interrupt; the same for as long as one listens."""

    def heard(self, message: HearingMessage | TranscriptMessage) -> None:
        """Speech began or ended, or words of it."""

    def interrupted(self) -> None:
        """The wearer spoke while we did, and said something."""

    def asked(self, text: str) -> None:
        """A whole question was heard."""


MakeListener = Callable[[Ear, Clock], Listener]


class Microphone:
    """Feeds an audio track to a listener while the wearer wants to be heard.

    The track is aiortc's, or what has its `recv`; with `open_mic` it is listened to from the start.
    """

    def __init__(
        self, track: Any, listener: Listener, clock: Clock, open_mic: bool = False
    ) -> None:
        self._track, self._listener, self._clock = track, listener, clock
        self._open = open_mic  # listen all the time
        self._pressed = False
        self._now_ns = 0  # stream time up to which sound came
        self._tail_ns: int | None = None  # stream time at which what was let go is over
        self._came_ns = clock.now_ns()  # when sound last came
        self._stalled = False

    def talk(self, said: TalkMessage) -> None:
        """Push-to-talk, or listen from now on."""
        was_open, self._open = self._open, said.open_mic and said.on
        if said.open_mic:
            if was_open and not self._open and not self._pressed:
                self._listener.pause()
        elif not said.on:
            self._tail_ns = self._now_ns + TAIL_NS if self._pressed else None
        elif not self._pressed or self._tail_ns is not None:
            self._release()
            self._pressed = True
            self._listener.press()

    async def run(self) -> None:
        """Listen until the track ends."""
        watching = asyncio.create_task(self._watch())
        try:
            while True:
                self._take(await self._track.recv())
        except MediaStreamError:
            return
        finally:
            watching.cancel()
            self._listener.cancel()

    def _take(self, frame: Any) -> None:
        self._came_ns = self._clock.now_ns()
        if self._stalled:
            self._stalled = False
            if self._pressed:
                self._listener.press()
        sound = frame.to_ndarray()
        channels = len(frame.layout.channels)
        sound = sound.T if frame.format.is_planar else sound.reshape(-1, channels)
        if frame.pts is not None:  # a sender without times is taken to have no gaps
            self._now_ns = int(frame.pts * frame.time_base * NS_PER_S)
        if self._open or self._pressed:
            self._listener.feed(sound, self._now_ns, frame.sample_rate)
        self._now_ns += len(sound) * NS_PER_S // frame.sample_rate
        if self._tail_ns is not None and self._now_ns >= self._tail_ns:
            self._release()

    def _release(self) -> None:
        """Push-to-talk is over, if it was on."""
        self._tail_ns = None
        if self._pressed:
            self._pressed = False
            self._listener.release()

    async def _watch(self) -> None:
        """What must happen although no sound comes."""
        while True:
            await self._clock.sleep_until(self._clock.now_ns() + WATCH_NS)
            silent_ns = self._clock.now_ns() - self._came_ns
            if self._tail_ns is not None and silent_ns >= TAIL_NS:
                self._release()
            if silent_ns >= STALL_NS and not self._stalled:
                self._stalled = True
                self._listener.pause()
