"""One peer: its connection, what it sends, what it gets, its end."""

import asyncio
import logging
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from aiortc import RTCSessionDescription

from devices.http.admission import ANYBODY, Grant
from devices.http.problems import Problem
from devices.video.policy import ReceiveOptions
from devices.webrtc.aiortc_compat import wants_to_receive
from devices.webrtc.connection import PeerConnection, VideoSource
from devices.webrtc.ice_restart import IceRestarts
from devices.webrtc.turn import IceServer, current_servers, has_relay, warn_of_trouble
from devices.whip.bundle import complete_answer
from devices.whip.codecs import restore_h264
from devices.whip.sdp import SdpFragment, SdpOffer
from stream.clock import Clock

logger = logging.getLogger(__name__)

CLOSE_S = 3.0  # a TURN server that is gone is asked for a minute to give its address back


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
        ice_servers: Sequence[IceServer],
        query: Mapping[str, str] | None = None,
        announce: Sequence[str] = (),
        grant: Grant = ANYBODY,
    ) -> None:
        self.query = dict(query or {})
        self.grant = grant  # of who made it: nobody else may change it
        self.id = secrets.token_urlsafe(24)  # 192 random bits: the session URL is a secret
        self.etag = _etag()
        self.video: VideoSource | None = None
        self.sending: list[Any] = []  # tracks that the peer receives
        self.audio: Any = None
        self.channel: Any = None
        self.channel_opened = asyncio.Event()
        self.connected = asyncio.Event()
        self.closed = asyncio.Event()
        self.reason: str | None = None  # why it ended, once it has
        self.offer: SdpOffer | None = None  # that is answered
        self._ufrags: list[str] = []  # of the client's credentials, newest last
        self._restarts: IceRestarts | None = None  # with the first one
        self._restarting = asyncio.Lock()  # a client may send a restart before the last answer
        self._ice_servers, self._announce = ice_servers, announce
        self._closing: asyncio.Future[None] | None = None
        self._warning: asyncio.Task[None] | None = None
        self._connection = PeerConnection(clock, options, current_servers(ice_servers))
        self._connection.on("track", self._on_track)
        self._connection.on("datachannel", self._on_channel)
        self._connection.on("connectionstatechange", self._on_state)

    async def answer(self, offer: SdpOffer, outgoing: Sequence[Any] = ()) -> str:
        """Apply the offer; returns the SDP answer with all candidates gathered.

        `outgoing` are the tracks to send, where the offer has a section that receives their kind.

        Raises Problem 422 when no codec or transport in it can be used, 503 when nobody could
        reach this side.
        """
        self.offer, self._ufrags = offer, [offer.ufrag]
        try:
            await self._connection.setRemoteDescription(RTCSessionDescription(offer.text, "offer"))
            self._add(outgoing)
            await self._connection.setLocalDescription(await self._connection.createAnswer())
        except Exception as error:  # aiortc refuses with built-in errors of any kind
            await self.close()
            raise Problem(422, f"this offer cannot be answered: {error}"[:200]) from error
        answer = self._connection.localDescription.sdp
        if "a=candidate:" not in answer:
            await self.close()
            raise Problem(503, "there is no network here, or no free UDP port, for this session")
        answer = complete_answer(answer, offer.text, self._announce)
        answer = restore_h264(answer, offer.h264)
        if not has_relay(answer):  # aioice does not say why
            self._warning = asyncio.create_task(warn_of_trouble(self._ice_servers))
        return answer

    def restarts(self, fragment: SdpFragment) -> bool:
        """Whether a fragment asks for an ICE restart: it has credentials not seen before."""
        assert self.offer is not None  # answered before its URL is known to anybody
        return fragment.ufrag is not None and fragment.ufrag not in self._ufrags

    async def trickle(self, fragment: SdpFragment) -> None:
        """Add late candidates; those of credentials that a restart has replaced are left out."""
        assert self.offer is not None
        if fragment.ufrag is not None and fragment.ufrag != self._ufrags[-1]:
            return
        if self._restarts is not None and self._restarts.pending:
            # Without their end: the client may be met at an address that it cannot tell.
            await asyncio.gather(*map(self._restarts.add, fragment.candidates))
            return
        for candidate in fragment.candidates:
            candidate.sdpMid = self.offer.mid  # one transport for all, by BUNDLE
        # Together: each multicast DNS name takes up to a second to resolve, or not.
        await asyncio.gather(*map(self._connection.addIceCandidate, fragment.candidates))
        if fragment.complete:
            await self._connection.addIceCandidate(None)

    async def restart(self, fragment: SdpFragment) -> str:
        """Look for another path, while the session goes on; our fragment for the client.

        The session's ETag is another from now on. Raises Problem 400 without a password, 422
        before the first path is found or after the session has ended.
        """
        assert self.offer is not None
        if fragment.ufrag is None or fragment.pwd is None:
            raise Problem(400, "expected a=ice-ufrag and a=ice-pwd for an ICE restart")
        if not self.connected.is_set() or self.closed.is_set():
            raise Problem(422, "there is no connection to restart; the session is as it was")
        if self._restarts is None:
            transport = self._connection.ice_transport()
            self._restarts = IceRestarts(transport, self._ice_servers, self._announce)
        async with self._restarting:
            lines = await self._restarts.gather()
            self._ufrags, self.etag = [*self._ufrags[-15:], fragment.ufrag], _etag()
            await self.trickle(fragment)
            self._restarts.check(fragment.ufrag, fragment.pwd)
        return "\r\n".join([self.offer.media_line, f"a=mid:{self.offer.mid}", *lines, ""])

    def progress(self) -> str:
        """How far its connection has come, in words."""
        return self._connection.progress()

    async def close(self, reason: str = "it was closed here") -> None:
        """End the session; the frames and audio end with it. Closing twice is fine."""
        self.reason = self.reason or reason
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close())
        # aiortc never finishes closing if it is cancelled half way: a cancelled caller leaves it.
        await asyncio.shield(asyncio.wait({self._closing}, timeout=CLOSE_S))
        if self._closing.done():
            self._closing.result()
        self.closed.set()

    async def _close(self) -> None:
        if self._warning is not None:
            self._warning.cancel()
        if self._restarts is not None:
            await self._restarts.close()
        await self._connection.close()

    def _add(self, outgoing: Sequence[Any]) -> None:
        """Put each track into a section that the peer wants to receive in."""
        for track in outgoing:
            for transceiver in self._connection.getTransceivers():
                if transceiver.kind == track.kind and wants_to_receive(transceiver):
                    self._connection.addTrack(track)
                    self.sending.append(track)
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
            self.reason = self.reason or self._why(state)
            self.closed.set()

    def _why(self, state: str) -> str:
        if state == "closed":  # aiortc does not tell one from the other
            return "the client closed the connection, or was heard no more"
        what = "was lost" if self.connected.is_set() else "did not come about"
        return f"the connection {what} ({self.progress()})"


def _etag() -> str:
    return f'"{secrets.token_urlsafe(9)}"'
