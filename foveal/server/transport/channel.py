"""Messages to one peer over its data channel."""

import asyncio
import logging

from devices.whip.session import PeerSession
from foveal.live.message_log import VOLATILE, Message, Send
from foveal.live.protocol.wire import encode

logger = logging.getLogger(__name__)

MAX_BUFFERED = 64 * 1024  # bytes that may wait; then masks and numbers are left out
FULL_BUFFER = 4 * 1024 * 1024  # then the client is gone


def channel_sender(peer: PeerSession) -> Send:
    """A peer that reads too slowly gets no masks, and in the end is hung up."""
    channel = peer.channel
    closing: list[asyncio.Future[None]] = []

    def send(message: Message) -> None:
        waiting = channel.bufferedAmount
        if channel.readyState != "open":
            return
        if message["type"] in VOLATILE and waiting > MAX_BUFFERED:
            return
        if waiting > FULL_BUFFER:
            if not closing:
                logger.info("session %s… does not read; closed", peer.id[:6])
                closing.append(asyncio.ensure_future(peer.close()))
            return
        channel.send(encode(message))

    return send
