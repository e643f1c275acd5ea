"""ICE restart (RFC 8445 section 9): another path under a connection that goes on.

aiortc cannot do it, but its ICE transport is a thin shell around an aioice connection, and DTLS
above reads and writes through that shell. So a second aioice connection looks for the new path
while the first one is still in use; once a pair is nominated it takes the first one's place. DTLS,
SRTP and the data channels notice nothing.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from aiortc import RTCIceCandidate, RTCIceGatherer
from aiortc.rtcicetransport import candidate_to_aioice
from aiortc.sdp import candidate_to_sdp

from devices.webrtc.aiortc_compat import exchange_connection, ice_connection
from devices.webrtc.reach import announced
from devices.webrtc.turn import IceServer, current_servers

logger = logging.getLogger(__name__)

RESTART_S = 30.0  # for the checks; then the old path stays in use


class IceRestarts:
    """The restarts of one ICE transport, one at a time; belongs to the event loop."""

    def __init__(
        self,
        transport: Any,
        ice_servers: Sequence[IceServer] = (),
        announce: Sequence[str] = (),
    ) -> None:
        """`transport` is an aiortc RTCIceTransport that has not ended; `announce` are addresses
        that others know this machine by.
        """
        self._transport, self._servers, self._announce = transport, ice_servers, announce
        self._next: RTCIceGatherer | None = None
        self._ended = False  # the remote candidates of the next path
        self._switching: asyncio.Task[None] | None = None
        self.done = 0  # paths taken

    @property
    def pending(self) -> bool:
        """Whether another path is being looked for."""
        return self._next is not None

    async def gather(self) -> list[str]:
        """Begin: credentials and candidates of ours for the other side, as SDP attribute lines.

        A restart that is under way is given up for this one.
        """
        await self.close()
        gatherer = RTCIceGatherer(current_servers(self._servers))
        await gatherer.gather()
        ice_connection(gatherer).ice_controlling = ice_connection(self._transport).ice_controlling
        self._next, self._ended = gatherer, False
        own = gatherer.getLocalParameters()
        lines = [f"a=ice-ufrag:{own.usernameFragment}", f"a=ice-pwd:{own.password}"]
        found = [f"a=candidate:{candidate_to_sdp(one)}" for one in gatherer.getLocalCandidates()]
        return [*lines, *found, *announced(found, self._announce), "a=end-of-candidates"]

    def check(self, ufrag: str, pwd: str) -> None:
        """Look for the path, by these credentials of the other side; taken when it is found."""
        assert self._next is not None, "gather first"
        connection = ice_connection(self._next)
        connection.remote_username, connection.remote_password = ufrag, pwd
        self._switching = asyncio.create_task(self._switch(self._next))

    async def add(self, candidate: RTCIceCandidate | None) -> None:
        """A candidate of the other side for the next path; None after the last."""
        if self._next is not None and not self._ended:
            self._ended = candidate is None
            one = None if candidate is None else candidate_to_aioice(candidate)
            await ice_connection(self._next).add_remote_candidate(one)

    async def close(self) -> None:
        """Give up a restart that is under way."""
        switching, self._switching = self._switching, None
        if switching is not None:
            switching.cancel()
            await asyncio.gather(switching, return_exceptions=True)
        gatherer, self._next = self._next, None
        if gatherer is not None:
            await ice_connection(gatherer).close()

    async def _switch(self, gatherer: RTCIceGatherer) -> None:
        try:
            async with asyncio.timeout(RESTART_S):
                await ice_connection(gatherer).connect()
        except (ConnectionError, TimeoutError):
            logger.info("an ICE restart found no path; the old one stays")
            self._next = None
            await ice_connection(gatherer).close()
            return
        self._next = None
        await self._take(gatherer)

    async def _take(self, gatherer: RTCIceGatherer) -> None:
        if self._transport.state != "completed":  # ended meanwhile
            await ice_connection(gatherer).close()
            return
        self.done += 1
        await exchange_connection(self._transport, gatherer)
