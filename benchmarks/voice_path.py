"""A microphone's way over a real connection (ICE, DTLS, SRTP, Opus) that loses packets."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection
from aiortc.mediastreams import MediaStreamError

from devices.audio.pcm import Pcm, RawSound
from devices.webrtc.connection import PeerConnection
from devices.webrtc.sound_receiver import SoundReceiver
from devices.webrtc.tracks import FRAME_NS, FRAME_SAMPLES, RATE_HZ
from stream.clock import NS_PER_MS, NS_PER_S, MonotonicClock

SPARED = 20  # packets at the beginning that are not lost: where time begins must be known
END = 50  # frames at the end whose delay is told apart: it should be that of the beginning

OnSound = Callable[[RawSound, int, int], None]


@dataclass(frozen=True, slots=True)
class PathConfig:
    """What the network and the receiver are."""

    loss: float  # of RTP packets, 0..1: one in so many, at a random place among them
    stock: bool = False  # aiortc's own audio buffer
    seed: int = 1


class _Outgoing(MediaStreamTrack):  # type: ignore[misc]  # aiortc is untyped here
    """Sends blocks of 20 ms as they come."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self.blocks: asyncio.Queue[Pcm] = asyncio.Queue()
        self._at = 0

    async def recv(self) -> Any:
        """The next block (called by aiortc's sender)."""
        block = await self.blocks.get()
        frame = av.AudioFrame.from_ndarray(block[None], "s16", "mono")
        frame.sample_rate, frame.time_base = RATE_HZ, Fraction(1, RATE_HZ)
        frame.pts, self._at = self._at, self._at + len(block)
        return frame


class SoundPath:
    """Blocks in at one end, sound with its times out at the other."""

    def __init__(self, config: PathConfig) -> None:
        self.config = config
        self.on_sound: OnSound | None = None
        self.lost = 0  # packets, by the network
        self._packets = 0
        self._clock = MonotonicClock()
        self._random = random.Random(config.seed)
        self._next_loss = 0  # the packet that is lost next, among those of its stretch
        self._track = _Outgoing()
        self._sent_ns: list[int] = []  # of each block
        self._came: list[tuple[int, int]] = []  # block, and how late it came, ns
        self._receiver: Any = None

    def send(self, block: Pcm) -> None:
        """Take the microphone's next 20 ms, int16 [960]."""
        self._sent_ns.append(self._clock.now_ns())
        self._track.blocks.put_nowait(np.resize(block, FRAME_SAMPLES))

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Connect, and carry sound until the end of the block."""
        clock, tracks = MonotonicClock(), list[Any]()
        plain = RTCConfiguration(iceServers=[])
        sender = RTCPeerConnection(plain)
        receiver = RTCPeerConnection(plain) if self.config.stock else PeerConnection(clock)
        sender.addTrack(self._track)
        receiver.on("track", tracks.append)
        await sender.setLocalDescription(await sender.createOffer())
        await receiver.setRemoteDescription(sender.localDescription)
        await receiver.setLocalDescription(await receiver.createAnswer())
        await sender.setRemoteDescription(receiver.localDescription)
        while sender.connectionState != "connected":
            await asyncio.sleep(0.01)
        self._receiver = receiver.getTransceivers()[0].receiver
        self._lose(sender.getSenders()[0].transport)
        hearing = asyncio.create_task(self._hear(tracks[0]))
        try:
            yield
        finally:
            await asyncio.gather(sender.close(), receiver.close())
            await hearing

    def figures(self) -> dict[str, float]:
        """What the way cost so far: shares in percent, times in ms."""
        known = [(block, late) for block, late in self._came if block < len(self._sent_ns)]
        sent = max((block for block, _ in known), default=-1) + 1  # the rest is under way
        made = 0.0
        if isinstance(self._receiver, SoundReceiver):
            stats = self._receiver.stats()
            made = (stats.concealed_ns + stats.rest_ns) / FRAME_NS
        lates = np.array([late for _, late in known] or [0]) / NS_PER_MS
        return {
            "packets_lost_%": 100 * self.lost / max(1, self._packets),
            "sound_lost_%": 100 * (1 - (len({block for block, _ in known}) - made) / max(1, sent)),
            "concealed_%": 100 * made / max(1, sent),
            "delay_p50_ms": float(np.percentile(lates, 50)),
            "delay_p95_ms": float(np.percentile(lates, 95)),
            "delay_end_ms": float(np.median(lates[-END:])),
        }

    def _lose(self, transport: Any) -> None:
        send = transport._send_rtp

        async def sometimes(data: bytes) -> None:
            is_rtp = not 64 <= data[1] & 0x7F <= 95  # RFC 5761 section 4
            if is_rtp and self._is_lost():
                self.lost += 1
            else:
                await send(data)

        transport._send_rtp = sometimes

    def _is_lost(self) -> bool:
        self._packets += 1
        if not self.config.loss or self._packets <= SPARED:
            return False
        stretch = round(1 / self.config.loss)
        at = (self._packets - SPARED - 1) % stretch
        if at == 0:
            self._next_loss = self._random.randrange(stretch)
        return at == self._next_loss

    async def _hear(self, track: Any) -> None:
        with suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                late_ns = self._clock.now_ns()
                at = round(frame.pts * frame.time_base * RATE_HZ)
                for block in range(at // FRAME_SAMPLES, (at + frame.samples) // FRAME_SAMPLES):
                    if block < len(self._sent_ns):
                        self._came.append((block, late_ns - self._sent_ns[block]))
                pcm = frame.to_ndarray().reshape(-1, len(frame.layout.channels))
                if self.on_sound is not None:
                    self.on_sound(pcm, at * NS_PER_S // RATE_HZ, frame.sample_rate)


async def carry(config: PathConfig, sound: Pcm) -> dict[str, float]:
    """What a way costs while nothing else is done: [N] at 48 kHz, in real time."""
    path, clock = SoundPath(config), MonotonicClock()
    async with path.open():
        began_ns = clock.now_ns()
        for number, at in enumerate(range(0, len(sound) - FRAME_SAMPLES, FRAME_SAMPLES)):
            await clock.sleep_until(began_ns + number * FRAME_NS)
            path.send(sound[at : at + FRAME_SAMPLES])
        await clock.sleep_until(clock.now_ns() + NS_PER_S)
        return path.figures()
