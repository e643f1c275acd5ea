"""The bounded channel: order, bounds, and drops by cause."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.channel import Channel, OverflowPolicy
from stream.errors import ChannelClosed, ConfigError


@given(st.integers(1, 5), st.lists(st.integers(), max_size=20), st.sampled_from(OverflowPolicy))
def test_every_item_is_delivered_or_counted(
    capacity: int, items: list[int], policy: OverflowPolicy
) -> None:
    async def session() -> None:
        channel: Channel[int] = Channel(capacity, policy)

        async def produce() -> None:
            for item in items:
                await channel.put(item)
            await channel.close()

        if policy is OverflowPolicy.BLOCK:
            producer = asyncio.create_task(produce())
            got = [item async for item in channel]
            await producer
        else:
            await produce()
            got = [item async for item in channel]
        stats = channel.stats
        assert stats.peak <= capacity
        assert stats.received == len(items) == stats.delivered + sum(stats.dropped.values())
        expected = {
            OverflowPolicy.BLOCK: items,
            OverflowPolicy.DROP_OLDEST: items[-capacity:],
            OverflowPolicy.DROP_NEWEST: items[:capacity],
        }[policy]
        assert got == expected

    asyncio.run(session())


async def test_put_waits_for_room() -> None:
    channel: Channel[int] = Channel(1)
    await channel.put(1)
    waiting = asyncio.create_task(channel.put(2))
    await asyncio.sleep(0)
    assert not waiting.done()
    assert await channel.get() == 1
    assert await waiting
    assert await channel.get() == 2


async def test_close_wakes_a_blocked_producer_and_consumer() -> None:
    channel: Channel[int] = Channel(1)
    await channel.put(1)
    producer = asyncio.create_task(channel.put(2))
    await asyncio.sleep(0)
    await channel.close()
    with pytest.raises(ChannelClosed, match="put on a closed channel"):
        await producer
    assert await channel.get() == 1
    with pytest.raises(ChannelClosed, match="closed and empty"):
        await channel.get()


def test_capacity_is_checked() -> None:
    with pytest.raises(ConfigError, match="capacity of 1 or more, got 0"):
        Channel[int](0)
