"""The wearer's microphone: sound in, questions out, and silence from us when they speak."""

import logging
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from aiortc.mediastreams import MediaStreamError

from foveal.live.protocol.client import TalkMessage
from foveal.live.protocol.server import HearingMessage, TranscriptMessage
from foveal.live.speech.voice import LiveVoice
from stream.clock import NS_PER_S, Clock

logger = logging.getLogger(__name__)

Sound = npt.NDArray[np.int16]  # [N, channels]


class Listener(Protocol):
    """Hears one stream: `devices.listening.listener.SpeechListener` is one."""

    def feed(self, pcm: Sound, pts_ns: int, rate_hz: int = 48_000) -> None: ...

    def press(self) -> None: ...

    def release(self) -> None: ...

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

    def talk(self, said: TalkMessage) -> None:
        """Push-to-talk, or listen from now on."""
        self._open = said.open_mic and said.on
        if said.open_mic:
            return
        if said.on != self._pressed:
            self._pressed = said.on
            (self._listener.press if said.on else self._listener.release)()

    async def run(self) -> None:
        """Listen until the track ends."""
        try:
            while True:
                frame = await self._track.recv()
                sound = frame.to_ndarray()
                channels = len(frame.layout.channels)
                sound = sound.T if frame.format.is_planar else sound.reshape(-1, channels)
                if frame.pts is not None:  # a sender without times is taken to have no gaps
                    self._now_ns = int(frame.pts * frame.time_base * NS_PER_S)
                if self._open or self._pressed:
                    self._listener.feed(sound, self._now_ns, frame.sample_rate)
                self._now_ns += len(sound) * NS_PER_S // frame.sample_rate
        except MediaStreamError:
            return
        finally:
            self._listener.cancel()
