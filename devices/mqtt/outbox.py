"""What waits to be published: bounded, with drops counted by cause. Pure but for one event."""

import asyncio
from collections import Counter, deque
from dataclasses import dataclass

SUPERSEDED = "superseded"  # a newer value of the same topic took its place
OVERFLOW = "overflow"  # the outbox was full
CLOSED = "closed"  # still waiting when the bridge was closed


@dataclass(frozen=True, slots=True)
class MqttMessage:
    """One message to publish."""

    topic: str
    payload: str
    retain: bool = True
    qos: int = 2  # Homie: 2 for what is retained, 0 for what is not
    every: bool = False  # True: each one counts (answers); False: only the newest of its topic


class Outbox:
    """First in, first out. A full outbox gives up values before answers, and oldest first."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._items: deque[MqttMessage] = deque()
        self._some = asyncio.Event()
        self.dropped: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, message: MqttMessage) -> None:
        """Add a message; never waits."""
        if not message.every:
            self._drop_same_topic(message.topic)
        self._items.append(message)
        self._shrink()
        self._some.set()

    async def take(self) -> MqttMessage:
        """The next message, waiting for one. Follow with `give_back` if it could not be sent."""
        while not self._items:
            self._some.clear()
            await self._some.wait()
        return self._items.popleft()

    def give_back(self, message: MqttMessage) -> None:
        """Put an unsent message back in front, unless a newer value waits already."""
        if not message.every and self.waits(message.topic):
            self.dropped[SUPERSEDED] += 1
            return
        self._items.appendleft(message)
        self._shrink()
        self._some.set()

    def waits(self, topic: str) -> bool:
        """Whether a message of that topic waits."""
        return any(one.topic == topic for one in self._items)

    def forget_values(self) -> None:
        """Remove what a fresh announcement tells anyway; answers stay."""
        self._items = deque(one for one in self._items if one.every)

    def close(self) -> None:
        """Count what waits as dropped."""
        self.dropped[CLOSED] += len(self._items)
        self._items.clear()

    def _drop_same_topic(self, topic: str) -> None:
        kept = deque(one for one in self._items if one.every or one.topic != topic)
        self.dropped[SUPERSEDED] += len(self._items) - len(kept)
        self._items = kept

    def _shrink(self) -> None:
        while len(self._items) > self._capacity:
            values = (index for index, one in enumerate(self._items) if not one.every)
            del self._items[next(values, 0)]
            self.dropped[OVERFLOW] += 1
