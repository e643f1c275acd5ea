"""A bounded channel between two tasks, with a named overflow policy and drops counted by cause."""

import asyncio
from collections import Counter, deque
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


class CountedQueue(Generic[T]):
    """First in, first out, with every item accounted for; what is bounded derives from it."""

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ConfigError(f"expected a capacity of 1 or more, got {capacity}")
        self._capacity = capacity
        self._items: deque[T] = deque()
        self._peak = self._received = self._delivered = 0
        self._dropped: Counter[str] = Counter()

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

    def _append(self, item: T) -> None:
        self._items.append(item)
        self._peak = max(self._peak, len(self._items))

    def _popleft(self) -> T:
        self._delivered += 1
        return self._items.popleft()

    def _drop(self, cause: str) -> None:
        """Leave the oldest out."""
        self._items.popleft()
        self._dropped[cause] += 1

    @property
    def _full(self) -> bool:
        return len(self._items) >= self._capacity


class Channel(CountedQueue[T]):
    """Never more than `capacity` items between two tasks. One event loop; not thread-safe."""

    def __init__(self, capacity: int, policy: OverflowPolicy = OverflowPolicy.BLOCK) -> None:
        super().__init__(capacity)
        self._policy = policy
        self._closed = False
        self._changed = asyncio.Condition()

    async def put(self, item: T) -> bool:
        """Add one item; False when it was dropped. Raises ChannelClosed after `close`."""
        async with self._changed:
            if self._policy is OverflowPolicy.BLOCK:
                await self._changed.wait_for(lambda: self._closed or not self._full)
            if self._closed:
                raise ChannelClosed("put on a closed channel; stop the producer first")
            self._received += 1
            if self._full:
                if self._policy is OverflowPolicy.DROP_NEWEST:
                    self._dropped[self._policy.value] += 1
                    return False
                self._drop(self._policy.value)
            self._append(item)
            self._changed.notify_all()
            return True

    async def get(self) -> T:
        """Take the oldest item; raises ChannelClosed when closed and empty."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._closed or bool(self._items))
            if not self._items:
                raise ChannelClosed("get on a closed and empty channel")
            item = self._popleft()
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
