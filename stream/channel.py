"""A bounded channel between two tasks, with a named overflow policy and drops counted by cause."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, TypeVar

from stream.errors import ChannelClosed, ConfigError

T = TypeVar("T")


class OverflowPolicy(Enum):
    """What `put` does when the channel is full."""

    BLOCK = "block"  # wait for room: files, which never drop
    DROP_OLDEST = "drop-oldest"  # the newest items win: live frames
    DROP_NEWEST = "drop-newest"  # the item put is refused: events already promised in order


@dataclass(frozen=True, slots=True)
class ChannelStats:
    """A channel's numbers at one moment."""

    capacity: int
    size: int  # items waiting now
    peak: int  # the most that ever waited
    received: int  # items put, dropped ones included
    delivered: int  # items taken
    dropped: dict[str, int] = field(default_factory=dict)  # cause -> count


class Channel(Generic[T]):
    """First in, first out, never more than `capacity` items. One event loop; not thread-safe."""

    def __init__(self, capacity: int, policy: OverflowPolicy = OverflowPolicy.BLOCK) -> None:
        if capacity < 1:
            raise ConfigError(f"expected a channel capacity of 1 or more, got {capacity}")
        self._capacity = capacity
        self._policy = policy
        self._items: deque[T] = deque()
        self._closed = False
        self._changed = asyncio.Condition()
        self._peak = self._received = self._delivered = 0
        self._dropped: dict[str, int] = {}

    @property
    def stats(self) -> ChannelStats:
        """The numbers so far."""
        return ChannelStats(
            self._capacity,
            len(self._items),
            self._peak,
            self._received,
            self._delivered,
            dict(self._dropped),
        )

    async def put(self, item: T) -> bool:
        """Add one item; False when it was dropped. Raises ChannelClosed after `close`."""
        async with self._changed:
            if self._policy is OverflowPolicy.BLOCK:
                await self._changed.wait_for(lambda: self._closed or not self._full)
            if self._closed:
                raise ChannelClosed("put on a closed channel; stop the producer first")
            self._received += 1
            if self._full:
                self._count_drop()
                if self._policy is OverflowPolicy.DROP_NEWEST:
                    return False
                self._items.popleft()
            self._items.append(item)
            self._peak = max(self._peak, len(self._items))
            self._changed.notify_all()
            return True

    async def get(self) -> T:
        """Take the oldest item; raises ChannelClosed when closed and empty."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._closed or bool(self._items))
            if not self._items:
                raise ChannelClosed("get on a closed and empty channel")
            item = self._items.popleft()
            self._delivered += 1
            self._changed.notify_all()
            return item

    async def close(self) -> None:
        """No more puts; what waits can still be taken. Closing twice is fine."""
        async with self._changed:
            self._closed = True
            self._changed.notify_all()

    async def __aiter__(self) -> AsyncIterator[T]:
        """Take items until the channel is closed and empty."""
        while True:
            try:
                item = await self.get()
            except ChannelClosed:
                return
            yield item

    @property
    def _full(self) -> bool:
        return len(self._items) >= self._capacity

    def _count_drop(self) -> None:
        cause = self._policy.value
        self._dropped[cause] = self._dropped.get(cause, 0) + 1
