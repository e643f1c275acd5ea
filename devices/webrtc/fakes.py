"""A rendered camera whose frames carry their number in their pixels, and a loopback publisher."""

import asyncio
from fractions import Fraction
from typing import Any

import av
import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCRtpSender

from devices.webrtc.connection import PeerConnection, VideoSource
from devices.webrtc.policy import ReceiveOptions
from stream.clock import NS_PER_S, MonotonicClock
from stream.frame import Image

BITS = 12
CELL = 24  # pixels; large enough to live through VP8 and H.264 at low rates


def draw_number(number: int, width: int = 320, height: int = 240) -> Image:
    """Black and white cells, lowest bit first, over a grey ramp."""
    ramp = np.linspace(60, 190, width, dtype=np.uint8)
    image = np.repeat(np.repeat(ramp[None, :, None], height, 0), 3, 2)
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

    def __init__(self, fps: int = 30, sizes: dict[int, tuple[int, int]] | None = None) -> None:
        super().__init__()
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
        frame = av.VideoFrame.from_ndarray(draw_number(number, *self._size), format="rgb24")
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
    transceiver = connection.getTransceivers()[0]
    codecs = RTCRtpSender.getCapabilities("video").codecs
    transceiver.setCodecPreferences([c for c in codecs if c.mimeType in (mime, "video/rtx")])
