"""A rendered camera with numbered frames, a loopback publisher, a bad network: for tests."""

import asyncio
import random
from contextlib import suppress
from fractions import Fraction
from typing import Any

import av
import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCRtpSender

from devices.video.policy import ReceiveOptions
from devices.webrtc.connection import PeerConnection, VideoSource
from stream.clock import NS_PER_S, MonotonicClock
from stream.frame import Image

BITS = 12
PAN, PAN_STEP = 60, 3  # pixels; a scene must be larger than the picture by PAN
CELL = 24  # pixels; large enough to live through VP8 and H.264 at low rates


def draw_number(
    number: int, width: int = 320, height: int = 240, scene: Image | None = None
) -> Image:
    """Black and white cells, lowest bit first, over a grey ramp or over a scene that pans."""
    if scene is None:
        ramp = np.linspace(60, 190, width, dtype=np.uint8)
        image = np.repeat(np.repeat(ramp[None, :, None], height, 0), 3, 2)
    else:
        x = abs((number * PAN_STEP) % (2 * PAN) - PAN)  # to and fro
        image = scene[x : x + height, x : x + width].copy()
    for bit in range(BITS):
        x, y = bit % 6 * CELL, bit // 6 * CELL
        image[y : y + CELL, x : x + CELL] = 255 if number >> bit & 1 else 0
    return image


def read_number(image: Image) -> int:
    """The number that `draw_number` put in."""
    number = 0
    for bit in range(BITS):
        x, y = bit % 6 * CELL, bit // 6 * CELL
        cell = image[y + CELL // 3 : y + 2 * CELL // 3, x + CELL // 3 : x + 2 * CELL // 3]
        number |= int(cell.mean() > 127) << bit
    return number


class NumberCamera(MediaStreamTrack):  # type: ignore[misc]  # aiortc is untyped here
    """Numbered frames at a fixed rate, by absolute deadline; `shots` notes when each was made."""

    kind = "video"

    def __init__(
        self,
        fps: int = 30,
        sizes: dict[int, tuple[int, int]] | None = None,
        scene: Image | None = None,
    ) -> None:
        super().__init__()
        self.scene = scene
        self.fps = fps
        self.sizes = sizes or {0: (320, 240)}  # from frame number on: (width, height)
        self.shots: list[int] = []
        self._clock = MonotonicClock()
        self._size = (320, 240)

    def now_ns(self) -> int:
        """Now, on the clock of `shots`."""
        return self._clock.now_ns()

    async def recv(self) -> Any:
        """The next frame, when it is due."""
        number = len(self.shots)
        if number == 0:
            self._origin_ns = self._clock.now_ns()
        await self._clock.sleep_until(self._origin_ns + number * NS_PER_S // self.fps)
        self._size = self.sizes.get(number, self._size)
        frame = av.VideoFrame.from_ndarray(
            draw_number(number, *self._size, self.scene), format="rgb24"
        )
        frame.pts, frame.time_base = number * 90_000 // self.fps, Fraction(1, 90_000)
        self.shots.append(self._clock.now_ns())
        return frame


class Loopback:
    """A stock aiortc publisher connected to our receiving connection."""

    def __init__(self, camera: NumberCamera, options: ReceiveOptions | None = None) -> None:
        self.sender = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.sender.addTrack(camera)
        self.receiver = PeerConnection(MonotonicClock(), options)
        self.tracks: list[Any] = []
        self.receiver.on("track", self.tracks.append)

    async def __aenter__(self) -> VideoSource:
        await self.sender.setLocalDescription(await self.sender.createOffer())
        await self.receiver.setRemoteDescription(self.sender.localDescription)
        await self.receiver.setLocalDescription(await self.receiver.createAnswer())
        await self.sender.setRemoteDescription(self.receiver.localDescription)
        return self.receiver.video_source(self.tracks[0], "loopback")

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(self.sender.close(), self.receiver.close())


def prefer(connection: Any, mime: str) -> None:
    """Offer one video codec (and its retransmission format) only."""
    transceiver = next(t for t in connection.getTransceivers() if t.kind == "video")
    codecs = RTCRtpSender.getCapabilities("video").codecs
    transceiver.setCodecPreferences([c for c in codecs if c.mimeType in (mime, "video/rtx")])


class BadNetwork:
    """Loses, delays, reorders and doubles what a connection sends (RTP and RTCP), seeded."""

    def __init__(
        self,
        loss: float = 0.0,
        jitter_ms: float = 0.0,
        duplicates: float = 0.0,
        retransmits: bool = True,
        seed: int = 1,
    ) -> None:
        self.loss, self.jitter_ms, self.duplicates = loss, jitter_ms, duplicates
        self.down = False  # an outage: nothing passes
        self.retransmits = retransmits  # False: the sender ignores NACKs
        self.lost = 0
        self._random = random.Random(seed)

    def attach(self, connection: Any) -> None:
        """Stand between `connection` and the network; call it once it is connected."""
        sender = connection.getSenders()[0]
        if not self.retransmits:
            sender._retransmit = self._ignore
        transport = sender.transport
        self._send = transport._send_rtp
        transport._send_rtp = self.send

    async def send(self, data: bytes) -> None:
        """Pass one packet on, or not."""
        if self.down or self._random.random() < self.loss:
            self.lost += 1
            return
        for _ in range(2 if self._random.random() < self.duplicates else 1):
            delay_s = self._random.random() * self.jitter_ms / 1000
            asyncio.get_running_loop().call_later(delay_s, self._later, data)

    async def _ignore(self, sequence_number: int) -> None:
        """In place of a retransmission."""

    def _later(self, data: bytes) -> None:
        asyncio.ensure_future(self._quietly(data))  # noqa: RUF006 - a datagram is nobody's

    async def _quietly(self, data: bytes) -> None:
        with suppress(ConnectionError):  # the connection may be closed by now
            await self._send(data)
