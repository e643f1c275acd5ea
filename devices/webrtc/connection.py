"""aiortc's peer connection with our receivers and no STUN by default."""

from collections.abc import Sequence
from typing import Any, Protocol

from aiortc import RTCConfiguration, RTCIceServer
from aiortc.rtcconfiguration import RTCBundlePolicy

from devices.video.policy import ReceiveOptions
from devices.webrtc.aiortc_compat import PacketReceiver, ReceivingConnection, bound_track
from devices.webrtc.receiver import LowLatencyReceiver, ReceiveStats
from devices.webrtc.sound_receiver import SoundReceiver
from devices.webrtc.track_source import TrackSource
from stream.clock import Clock
from stream.frame import FrameSource

AUDIO_FRAMES = 250  # 5 s of 20 ms frames


class VideoSource(FrameSource, Protocol):
    """A live FrameSource with its numbers."""

    def capture_unix_ns(self, pts_ns: int) -> int | None: ...

    def stats(self) -> ReceiveStats: ...


class PeerConnection(ReceivingConnection):
    """A connection whose tracks come through `LowLatencyReceiver` and `SoundReceiver`.

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
                receiver.name = name
                return receiver
        return TrackSource(track, self.options, self.clock, name)

    def dtls_transport(self) -> Any:
        """The one transport of all sections, None before there are any: everything is bundled."""
        sections = [one.receiver.transport for one in self.getTransceivers()]
        if self.sctp is not None:
            sections.append(self.sctp.transport)
        return sections[0] if sections else None

    def ice_transport(self) -> Any:
        """What it finds its paths with."""
        return self.dtls_transport().transport

    def progress(self) -> str:
        """How far it has come, for logs and reasons."""
        dtls = self.dtls_transport()
        return "no transport" if dtls is None else f"ICE {dtls.transport.state}, DTLS {dtls.state}"

    def make_receiver(self, kind: str, transport: Any) -> PacketReceiver:
        """Ours in place of aiortc's."""
        if kind == "audio":
            return SoundReceiver(transport, self.clock)
        return LowLatencyReceiver(transport, self.options, self.clock)


def _bound_audio(track: Any) -> None:
    if track.kind == "audio":
        bound_track(track, AUDIO_FRAMES)
