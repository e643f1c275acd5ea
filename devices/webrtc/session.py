"""One peer: its connection, what it sends, what it gets, its end."""

import asyncio
import logging
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from aiortc import RTCIceServer, RTCSessionDescription

from devices.webrtc.connection import PeerConnection, VideoSource
from devices.webrtc.policy import ReceiveOptions
from devices.webrtc.problems import Problem
from devices.webrtc.sdp import Fragment, Offer
from stream.clock import Clock

logger = logging.getLogger(__name__)


class PeerSession:
    """A session between a 201 answer and its end. `video` and `audio` are None when not offered.

    `video` is a FrameSource; `audio` an aiortc track whose `recv()` gives av.AudioFrame, bounded
    to the last five seconds; `channel` the data channel once the peer has opened one. `query` is
    the query string of the request that made the session.
    """

    def __init__(
        self,
        clock: Clock,
        options: ReceiveOptions,
        ice_servers: Sequence[RTCIceServer],
        query: Mapping[str, str] | None = None,
    ) -> None:
        self.query = dict(query or {})
        self.id = secrets.token_urlsafe(24)  # 192 random bits: the session URL is a secret
        self.etag = f'"{secrets.token_urlsafe(9)}"'
        self.video: VideoSource | None = None
        self.audio: Any = None
        self.channel: Any = None
        self.channel_opened = asyncio.Event()
        self.connected = asyncio.Event()
        self.closed = asyncio.Event()
        self._offer: Offer | None = None
        self._closing: asyncio.Future[None] | None = None
        self._connection = PeerConnection(clock, options, ice_servers)
        self._connection.on("track", self._on_track)
        self._connection.on("datachannel", self._on_channel)
        self._connection.on("connectionstatechange", self._on_state)

    async def answer(self, offer: Offer, outgoing: Sequence[Any] = ()) -> str:
        """Apply the offer; returns the SDP answer with all candidates gathered.

        `outgoing` are the tracks to send, where the offer has a section that receives their kind.

        Raises Problem 422 when no codec or transport in it can be used.
        """
        self._offer = offer
        try:
            await self._connection.setRemoteDescription(RTCSessionDescription(offer.text, "offer"))
            self._add(outgoing)
            await self._connection.setLocalDescription(await self._connection.createAnswer())
        except Exception as error:  # aiortc refuses with built-in errors of any kind
            await self.close()
            raise Problem(422, f"this offer cannot be answered: {error}"[:200]) from error
        return str(self._connection.localDescription.sdp)

    async def trickle(self, fragment: Fragment) -> None:
        """Add late candidates; raises Problem 422 when the fragment asks for an ICE restart."""
        assert self._offer is not None  # answered before its URL is known to anybody
        if fragment.ufrag is not None and fragment.ufrag != self._offer.ufrag:
            raise Problem(422, "ICE restart is not supported; the session goes on as it is")
        for candidate in fragment.candidates:
            candidate.sdpMid = self._offer.mid  # one transport for all, by BUNDLE
        # Together: each multicast DNS name takes up to a second to resolve, or not.
        await asyncio.gather(*map(self._connection.addIceCandidate, fragment.candidates))
        if fragment.complete:
            await self._connection.addIceCandidate(None)

    async def close(self) -> None:
        """End the session; the frames and audio end with it. Closing twice is fine."""
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._connection.close())
        # aiortc never finishes closing if it is cancelled half way: a cancelled caller leaves it.
        await asyncio.shield(self._closing)
        self.closed.set()

    def _add(self, outgoing: Sequence[Any]) -> None:
        """Put each track into a section that the peer wants to receive in."""
        for track in outgoing:
            for transceiver in self._connection.getTransceivers():
                wanted = transceiver._offerDirection in ("sendonly", "sendrecv")
                if transceiver.kind == track.kind and wanted:
                    self._connection.addTrack(track)
                    break

    def _on_channel(self, channel: Any) -> None:
        self.channel = channel
        self.channel_opened.set()

    def _on_track(self, track: Any) -> None:
        if track.kind == "video":
            self.video = self._connection.video_source(track, f"webrtc-{self.id[:6]}")
        else:
            self.audio = track

    def _on_state(self) -> None:
        state = self._connection.connectionState
        logger.info("session %s… is %s", self.id[:6], state)
        if state == "connected":
            self.connected.set()
        elif state in ("failed", "closed"):
            self.closed.set()
