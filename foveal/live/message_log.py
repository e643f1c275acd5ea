"""A session's messages, numbered and kept for a while, so that a client can pick up the thread."""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stream.errors import ConfigError

logger = logging.getLogger(__name__)

VOLATILE = frozenset({"regions", "stats", "pong"})  # old ones are of no use to anybody
FORGET = "forgot"  # nobody hears again what was told before it
MAX_KEPT = 2000  # numbered messages: the last dozens of turns

Message = dict[str, Any]
Send = Callable[[Message], None]


@dataclass(slots=True, eq=False)
class Link:
    """One client that listens."""

    send: Send


class SessionLog:
    """Passes messages to every link, and keeps those that matter. Belongs to the event loop."""

    def __init__(self, kept: int = MAX_KEPT) -> None:
        if kept < 1:
            raise ConfigError(f"expected room for 1 message or more, got {kept}")
        self._kept: deque[Message] = deque(maxlen=kept)
        self._links: list[Link] = []
        self._lost = 0  # the number of the last one that was dropped for want of room
        self.seq = 0  # of the last numbered message

    @property
    def links(self) -> int:
        """How many listen."""
        return len(self._links)

    def tell(self, kind: str, data: Message) -> None:
        """Send one message to everybody; numbered unless it is volatile."""
        message: Message = {"type": kind, **data}
        if kind not in VOLATILE:
            self.seq += 1
            message["seq"] = self.seq
            self._keep(message)
        for link in list(self._links):
            self._send(link, message)

    def missed(self, after: int) -> int:
        """How many messages after that number were dropped; what was forgotten is not missed."""
        return max(0, self._lost - after)

    def attach(self, send: Send, after: int | None = None) -> Link:
        """Listen from now on; with `after`, first hear what came after that number."""
        link = Link(send)
        if after is not None:
            for message in [kept for kept in self._kept if kept["seq"] > after]:
                self._send(link, message)
        self._links.append(link)
        return link

    def detach(self, link: Link) -> None:
        """Listen no longer; twice is fine."""
        if link in self._links:
            self._links.remove(link)

    def _keep(self, message: Message) -> None:
        if message["type"] == FORGET:
            self._kept.clear()
            self._lost = 0
        if len(self._kept) == self._kept.maxlen:
            self._lost = self._kept[0]["seq"]
        self._kept.append(message)

    def _send(self, link: Link, message: Message) -> None:
        try:
            link.send(message)
        except Exception:  # a client that went away must not stop the others
            logger.debug("a message could not be sent", exc_info=True)
            self.detach(link)
