"""The receive paths that benchmarks.webrtc_latency compares, each driven the way its users do.

`pipecat` reads with SmallWebRTCClient.read_video_frame; `fastrtc` runs a VideoCallback with
skip_frames, its setting for handlers slower than the camera. Both are measured where they can be
imported: `pip install "pipecat-ai[webrtc]" fastrtc`, best in an environment of their own.
"""

from collections.abc import AsyncIterator, Callable
from importlib import import_module
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any, Protocol

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

from devices.video.policy import FramePolicy, ReceiveOptions
from devices.video.timeline import VIDEO_CLOCK_HZ
from devices.webrtc.connection import PeerConnection
from stream.clock import NS_PER_S, MonotonicClock
from tests.doubles.webrtc import read_number


class Receiver(Protocol):
    """One receive path, for one connection."""

    needs_audio: bool  # whether it expects an audio section before the video

    async def answer(self, offer: str) -> str:
        """Accept an SDP offer."""

    def numbers(self) -> AsyncIterator[int]:
        """Each frame's number as it reaches the user's code."""

    async def close(self) -> None:
        """Hang up."""


class AiortcReceiver:
    """aiortc's own track.recv(), without conversion to RGB."""

    needs_audio = False

    def __init__(self, fps: int) -> None:
        self.fps = fps
        self.connection = self.make_connection()
        self.tracks: list[Any] = []
        self.connection.on("track", self.tracks.append)

    def make_connection(self) -> Any:
        """The connection that answers."""
        return RTCPeerConnection(RTCConfiguration(iceServers=[]))

    async def answer(self, offer: str) -> str:
        """Accept an SDP offer."""
        await self.connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await self.connection.setLocalDescription(await self.connection.createAnswer())
        return str(self.connection.localDescription.sdp)

    async def numbers(self) -> AsyncIterator[int]:
        """By timestamp."""
        while True:
            try:
                frame = await self.tracks[0].recv()
            except MediaStreamError:
                return
            yield round(frame.pts * frame.time_base * self.fps)

    async def close(self) -> None:
        """Hang up."""
        await self.connection.close()


class FovealReceiver(AiortcReceiver):
    """devices.webrtc, up to the RGB frame."""

    policy = FramePolicy.AUTO

    def make_connection(self) -> Any:
        """The connection that answers."""
        return PeerConnection(MonotonicClock(), ReceiveOptions(self.policy))

    async def numbers(self) -> AsyncIterator[int]:
        """By timestamp."""
        async for frame in self.connection.video_source(self.tracks[0]).frames():
            yield round(frame.pts_ns * self.fps / NS_PER_S)


class FreshestReceiver(FovealReceiver):
    """The setting for a consumer known to be slow."""

    policy = FramePolicy.FRESHEST


class PipecatReceiver:
    """pipecat's SmallWebRTC client, up to its RGB image frame."""

    needs_audio = True

    def __init__(self, fps: int) -> None:
        base = import_module("pipecat.transports.base_transport")
        connection = import_module("pipecat.transports.smallwebrtc.connection")
        transport = import_module("pipecat.transports.smallwebrtc.transport")

        async def ignore(*_: Any) -> None:
            return

        self.fps = fps
        self.connection = connection.SmallWebRTCConnection(ice_servers=[])
        callbacks = transport.SmallWebRTCCallbacks(
            on_app_message=ignore,
            on_client_connected=ignore,
            on_client_disconnected=ignore,
            on_track_status=ignore,
        )
        self.client = transport.SmallWebRTCClient(self.connection, callbacks)
        self.params = base.TransportParams(video_in_enabled=True)

    async def answer(self, offer: str) -> str:
        """Accept an SDP offer."""
        rates = SimpleNamespace(audio_in_sample_rate=16_000, audio_out_sample_rate=24_000)
        await self.client.setup(self.params, rates)
        await self.connection.initialize(offer, "offer")
        await self.connection.connect()
        return str(self.connection.get_answer()["sdp"])

    async def numbers(self) -> AsyncIterator[int]:
        """By timestamp."""
        async for image in self.client.read_video_frame("camera"):
            yield round(image.pts * self.fps / VIDEO_CLOCK_HZ)

    async def close(self) -> None:
        """Hang up."""
        await self.connection.disconnect()


class FastRtcReceiver(AiortcReceiver):
    """fastrtc's VideoCallback; its handler gets pixels only, so numbers are read from them."""

    async def numbers(self) -> AsyncIterator[int]:
        """By pixels, as the handler sees them."""
        tracks, utils = import_module("fastrtc.tracks"), import_module("fastrtc.utils")
        seen: list[int] = []

        def handler(image: Any) -> Any:
            seen.append(read_number(image))
            return image

        callback = tracks.VideoCallback(
            self.tracks[0], handler, utils.Context(webrtc_id="benchmark"), skip_frames=True
        )
        callback.set_channel(SimpleNamespace(send=lambda message: None))
        callback.set_args(["__webrtc_value__"])
        try:
            while True:
                await callback.recv()
                yield seen[-1]
        finally:
            callback.stop()


def receivers(freshest: bool = False) -> dict[str, Callable[[int], Receiver]]:
    """Name -> receiver for a camera's frame rate; peers that are not installed are left out."""
    found: dict[str, Callable[[int], Receiver]] = {
        "foveal": FreshestReceiver if freshest else FovealReceiver,
        "aiortc": AiortcReceiver,
    }
    if find_spec("pipecat") is not None:
        found["pipecat"] = PipecatReceiver
    if find_spec("fastrtc") is not None:
        found["fastrtc"] = FastRtcReceiver
    return found
