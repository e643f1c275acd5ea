"""Tracks that go out: the spoken answer, and the annotated view. Both bounded, both for WHEP.

Speech is paced by absolute deadlines, so a busy event loop makes it late once, not ever later.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import av
import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from devices.audio.pcm import Pcm
from devices.audio.resample import Resampler
from devices.video.timeline import VIDEO_CLOCK_HZ
from stream.clock import NS_PER_MS, NS_PER_S, Clock
from stream.errors import ConfigError
from stream.frame import Image

RATE_HZ = 48_000
FRAME_NS = 20 * NS_PER_MS
FRAME_SAMPLES = RATE_HZ * FRAME_NS // NS_PER_S  # 960
LATE_NS = 200 * NS_PER_MS  # later than this: go on from now instead of catching up in a burst


@dataclass(eq=False, slots=True)
class QueuedSpeech:
    """Speech on its way out."""

    samples: Pcm  # [N] mono, 48 kHz
    sent: int = 0  # samples handed to the network
    finished: asyncio.Event = field(default_factory=asyncio.Event)
    cut: bool = False  # ended by `SpeechTrack.cut_off` before its end

    @property
    def sent_ns(self) -> int:
        """How much of it has gone out."""
        return self.sent * NS_PER_S // RATE_HZ


class SpeechTrack(MediaStreamTrack):  # type: ignore[misc]  # aiortc is untyped here
    """Sends 20 ms of speech every 20 ms, and silence when there is none."""

    kind = "audio"

    def __init__(
        self,
        clock: Clock,
        max_queued_s: float = 60.0,
        on_sent: Callable[[Pcm], None] | None = None,
    ) -> None:
        super().__init__()
        self._clock = clock
        self.on_sent = on_sent  # told every 20 ms that go out, silence included
        self._max_queued = round(max_queued_s * RATE_HZ)
        self._queue: deque[QueuedSpeech] = deque()
        self._held = False
        self._next_ns: int | None = None
        self._position = 0  # samples sent so far, silence included

    def say(self, audio: Pcm, rate_hz: int) -> QueuedSpeech:
        """Queue int16 [N] mono, as a Speaker makes it; returns a handle to wait for.

        Raises ConfigError when more than `max_queued_s` would wait: the caller speaks too fast.
        """
        utterance = QueuedSpeech(to_48k(audio, rate_hz))
        if self.queued + len(utterance.samples) > self._max_queued:
            raise ConfigError(
                f"expected at most {self._max_queued / RATE_HZ:.0f} s of queued speech, got "
                f"{(self.queued + len(utterance.samples)) / RATE_HZ:.0f} s; wait for `finished`"
            )
        if len(utterance.samples):
            self._queue.append(utterance)
        else:
            utterance.finished.set()
        return utterance

    @property
    def queued(self) -> int:
        """Samples that wait."""
        return sum(len(utterance.samples) - utterance.sent for utterance in self._queue)

    def hold(self) -> None:
        """Silence from the next 20 ms on; what waits is kept (the wearer may have coughed)."""
        self._held = True

    def resume(self) -> None:
        """Go on where `hold` stopped."""
        self._held = False

    def cut_off(self) -> None:
        """Drop what waits: the wearer has barged in. At most 20 ms more are heard."""
        self._held = False
        while self._queue:
            utterance = self._queue.popleft()
            utterance.cut = True
            utterance.finished.set()

    async def recv(self) -> Any:
        """The next 20 ms (called by aiortc's sender)."""
        if self.readyState != "live":
            raise MediaStreamError
        now_ns = self._clock.now_ns()
        if self._next_ns is None or now_ns - self._next_ns > LATE_NS:
            self._next_ns = now_ns
        await self._clock.sleep_until(self._next_ns)
        self._next_ns += FRAME_NS
        block = self._fill()
        if self.on_sent is not None:
            self.on_sent(block)
        frame = av.AudioFrame.from_ndarray(block[None], format="s16", layout="mono")
        frame.sample_rate, frame.time_base = RATE_HZ, Fraction(1, RATE_HZ)
        frame.pts = self._position
        self._position += FRAME_SAMPLES
        return frame

    def _fill(self) -> Pcm:
        block = np.zeros(FRAME_SAMPLES, np.int16)
        at = 0
        while at < FRAME_SAMPLES and self._queue and not self._held:
            utterance = self._queue[0]
            part = utterance.samples[utterance.sent : utterance.sent + FRAME_SAMPLES - at]
            block[at : at + len(part)] = part
            at += len(part)
            utterance.sent += len(part)
            if utterance.sent == len(utterance.samples):
                utterance.finished.set()
                self._queue.popleft()
        return block


class ViewTrack(MediaStreamTrack):  # type: ignore[misc]  # aiortc is untyped here
    """Sends the newest picture shown; older ones that were not sent yet are dropped."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self._waiting: tuple[Image, int] | None = None
        self._shown = asyncio.Event()
        self._last_ticks = -1
        self.dropped = 0

    def show(self, image: Image, pts_ns: int) -> None:
        """Offer a picture [H, W, 3] uint8 RGB with its time on the stream's time line."""
        self.dropped += self._waiting is not None
        self._waiting = image, pts_ns
        self._shown.set()

    def stop(self) -> None:
        """End the track."""
        super().stop()
        self._shown.set()

    async def recv(self) -> Any:
        """The next picture (called by aiortc's sender)."""
        while self._waiting is None:
            if self.readyState != "live":
                raise MediaStreamError
            self._shown.clear()
            await self._shown.wait()
        image, pts_ns = self._waiting
        self._waiting = None
        frame = av.VideoFrame.from_ndarray(even(image), format="rgb24")
        self._last_ticks = max(self._last_ticks + 1, pts_ns * VIDEO_CLOCK_HZ // NS_PER_S)
        frame.pts, frame.time_base = self._last_ticks, Fraction(1, VIDEO_CLOCK_HZ)
        return frame


def to_48k(audio: Pcm, rate_hz: int) -> Pcm:
    """Mono int16 [N] at any rate -> int16 [M] at 48 kHz."""
    if audio.ndim != 1 or audio.dtype != np.int16 or rate_hz <= 0:
        raise ConfigError(
            f"expected int16 [N] at a rate > 0, got {audio.dtype} {audio.shape} at {rate_hz} Hz"
        )
    return Resampler(rate_hz, RATE_HZ).feed(audio, last=True)


def even(image: Image) -> Image:
    """Crop an odd last row or column: 4:2:0 video has none."""
    height, width = image.shape[0] & ~1, image.shape[1] & ~1
    return np.ascontiguousarray(image[:height, :width])
