"""aiortc's peer connection with our video receiver, bounded audio and no STUN by default."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection
from aiortc.rtcconfiguration import RTCBundlePolicy

from devices.video.policy import ReceiveOptions
from devices.webrtc.receiver import JITTER_BUFFER, LowLatencyReceiver, ReceiveStats
from devices.webrtc.source import TrackSource, WebRtcSource
from stream.clock import Clock
from stream.frame import FrameSource

T = TypeVar("T")
logger = logging.getLogger(__name__)

CREATE_TRANSCEIVER = "_RTCPeerConnection__createTransceiver"
TRANSCEIVER_RECEIVER = "_RTCRtpTransceiver__receiver"
AUDIO_FRAMES = 250  # 5 s of 20 ms frames


class VideoSource(FrameSource, Protocol):
    """A live FrameSource with its numbers."""

    def capture_unix_ns(self, pts_ns: int) -> int | None: ...

    def stats(self) -> ReceiveStats: ...


class DropOldestQueue(asyncio.Queue[T]):
    """A queue whose `put` never waits: the oldest item goes."""

    dropped = 0

    async def put(self, item: T) -> None:
        """Add an item, making room first."""
        while self.full():
            self.get_nowait()
            self.dropped += 1
        self.put_nowait(item)


class PeerConnection(RTCPeerConnection):  # type: ignore[misc]  # aiortc is untyped here
    """A connection whose video tracks go through `LowLatencyReceiver`.

    `ice_servers` is empty unless given, so a box without internet does not wait for STUN.
    """

    def __init__(
        self,
        clock: Clock,
        options: ReceiveOptions | None = None,
        ice_servers: Sequence[RTCIceServer] = (),
    ) -> None:
        super().__init__(
            RTCConfiguration(iceServers=list(ice_servers), bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)
        )
        self.clock = clock
        self.options = options or ReceiveOptions()
        self.on("track", _bound_audio)

    def video_source(self, track: Any, name: str = "webrtc") -> VideoSource:
        """The frames of one of this connection's received video tracks."""
        for transceiver in self.getTransceivers():
            receiver = transceiver.receiver
            if receiver.track is track and isinstance(receiver, LowLatencyReceiver):
                return WebRtcSource(receiver, name)
        return TrackSource(track, self.options, self.clock, name)

    def ice_transport(self) -> Any:
        """The one ICE transport of all sections: everything is bundled."""
        sections = [one.receiver.transport for one in self.getTransceivers()]
        if self.sctp is not None:
            sections.append(self.sctp.transport)
        return sections[0].transport

    def _RTCPeerConnection__createTransceiver(
        self, direction: str, kind: str, sender_track: Any = None
    ) -> Any:
        """Give each video transceiver our receiver in place of aiortc's, before it starts."""
        transceiver = getattr(super(), CREATE_TRANSCEIVER)(direction, kind, sender_track)
        stock = transceiver.receiver
        if kind != "video":
            return transceiver
        if not (hasattr(stock, JITTER_BUFFER) and hasattr(transceiver, TRANSCEIVER_RECEIVER)):
            logger.warning("this aiortc is not known: video goes through its own receiver")
            return transceiver
        receiver = LowLatencyReceiver(stock.transport, self.options, self.clock)
        receiver._set_rtcp_ssrc(transceiver.sender._ssrc)
        setattr(transceiver, TRANSCEIVER_RECEIVER, receiver)
        return transceiver


def _bound_audio(track: Any) -> None:
    """aiortc queues audio without bound until somebody listens."""
    if track.kind == "audio" and hasattr(track, "_queue"):
        track._queue = DropOldestQueue(maxsize=AUDIO_FRAMES)
