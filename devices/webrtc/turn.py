"""TURN (RFC 8656): whether a server gives a relayed address, and if not, why.

aioice leaves out a relayed candidate that it cannot get, without a word. Whoever runs a box that is
reached through TURN only must be told.
"""

import asyncio
import base64
import hashlib
import hmac
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from aioice.stun import TransactionError
from aioice.turn import create_turn_endpoint
from aiortc import RTCIceServer
from aiortc.rtcicetransport import connection_kwargs

from stream.clock import NS_PER_S, Clock, UnixClock

logger = logging.getLogger(__name__)

ANSWER_S = 5.0  # as long as aioice waits for candidates
UNAUTHORIZED = 401


@dataclass(frozen=True, slots=True)
class TurnSecret:
    """A TURN server that shares a secret with us: names and passwords for it expire.

    The name is the Unix time of its end, the password its HMAC-SHA1 ("A REST API for access to TURN
    services", draft-uberti-behave-turn-rest-00; coturn's `use-auth-secret`).
    """

    url: str
    secret: str = field(repr=False)
    name: str = ""  # after the time, where the server wants one
    lifetime_s: int = 86_400

    def server(self, wall: Clock) -> RTCIceServer:
        """It with a name and a password from now on; `wall` tells Unix time."""
        end = wall.now_ns() // NS_PER_S + self.lifetime_s
        name = f"{end}:{self.name}" if self.name else str(end)
        digest = hmac.digest(self.secret.encode(), name.encode(), hashlib.sha1)
        return RTCIceServer(self.url, username=name, credential=base64.b64encode(digest).decode())


IceServer: TypeAlias = RTCIceServer | TurnSecret


def current_servers(servers: Iterable[IceServer]) -> list[RTCIceServer]:
    """STUN and TURN servers with credentials that are good now."""
    wall = UnixClock()
    return [one.server(wall) if isinstance(one, TurnSecret) else one for one in servers]


async def turn_trouble(
    servers: Sequence[IceServer], timeout_s: float = ANSWER_S
) -> tuple[str, str] | None:
    """The TURN server that connections use (the first one, aioice has room for one) and what is
    wrong with it; None when it gives an address, or when there is none among them.
    """
    wanted = connection_kwargs(current_servers(servers))
    if "turn_server" not in wanted:
        return None
    host, port = wanted["turn_server"]
    name = f"{host}:{port}/{wanted['turn_transport']}"
    try:
        async with asyncio.timeout(timeout_s):
            transport, _ = await create_turn_endpoint(
                asyncio.DatagramProtocol,
                server_addr=(host, port),
                username=wanted["turn_username"],
                password=wanted["turn_password"],
                ssl=wanted["turn_ssl"] or None,
                transport=wanted["turn_transport"],
            )
    except TransactionError as error:
        return name, _refusal(error)
    except TimeoutError:
        return name, f"it does not answer within {timeout_s:g} s"
    except OSError as error:  # no such name, no route, nobody listens, bad certificate
        return name, f"it cannot be reached: {error.strerror or error}"
    transport.close()
    return None


async def warn_of_trouble(servers: Sequence[IceServer]) -> None:
    """Log what is wrong with the TURN server among them, if anything is."""
    trouble = await turn_trouble(servers)
    if trouble is not None:
        logger.warning("TURN server %s gives no relayed address: %s", *trouble)


def has_relay(sdp: str) -> bool:
    """Whether a description tells of a relayed address."""
    return " typ relay" in sdp


def _refusal(error: TransactionError) -> str:
    if error.response is None:
        return "it does not answer"
    code, words = error.response.attributes.get("ERROR-CODE", (0, str(error)))
    if code == UNAUTHORIZED:
        return f"it refuses the name or the password ({code} {words})"
    return f"it refuses an address: {code} {words}"
