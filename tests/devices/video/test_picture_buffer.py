"""The buffer behind a decoder: bounded, in order, every picture accounted for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.video.picture_buffer import STALE, SUPERSEDED, PictureBuffer
from devices.video.policy import FramePolicy, ReceiveOptions
from stream.errors import ConfigError

EVERY, FRESHEST, AUTO = FramePolicy.EVERY_FRAME, FramePolicy.FRESHEST, FramePolicy.AUTO
POLICIES = st.sampled_from(FramePolicy)


def options(policy: FramePolicy, decoded: int = 4) -> ReceiveOptions:
    return ReceiveOptions(policy, max_staleness_ns=100, decoded_capacity=decoded)


def test_freshest_keeps_the_newest_only() -> None:
    buffer: PictureBuffer[int] = PictureBuffer(options(FRESHEST))
    for number in range(5):
        assert buffer.offer(number, number)
    assert buffer.take(5) == 4
    assert buffer.take(5) is None
    assert buffer.stats.dropped == {SUPERSEDED: 4}


def test_every_frame_refuses_instead_of_dropping() -> None:
    buffer: PictureBuffer[int] = PictureBuffer(options(EVERY, decoded=2))
    assert [buffer.offer(n, 0) for n in range(3)] == [True, True, False]
    assert buffer.take(10**9) == 0  # never stale
    assert buffer.offer(2, 0)
    assert (buffer.take(0), buffer.take(0)) == (1, 2)
    assert buffer.stats.dropped == {}


def test_auto_gives_every_frame_to_a_consumer_that_keeps_up() -> None:
    buffer: PictureBuffer[int] = PictureBuffer(options(AUTO))
    taken = []
    for number in range(50):
        buffer.offer(number, number)
        taken.append(buffer.take(number))
    assert taken == list(range(50))


def test_auto_goes_to_the_newest_once_the_consumer_lags() -> None:
    buffer: PictureBuffer[int] = PictureBuffer(options(AUTO, decoded=4))
    for number in range(10):
        buffer.offer(number, number)
    assert buffer.take(10) == 9
    assert buffer.stats.dropped == {SUPERSEDED: 9}


@pytest.mark.parametrize("policy", [FRESHEST, AUTO])
def test_a_picture_past_the_budget_is_not_used(policy: FramePolicy) -> None:
    buffer: PictureBuffer[int] = PictureBuffer(options(policy))
    buffer.offer(1, 0)
    assert buffer.take(101) is None
    assert buffer.stats.dropped == {STALE: 1}


@given(POLICIES, st.integers(1, 6), st.lists(st.one_of(st.none(), st.integers(0, 60))))
def test_pictures_stay_bounded_ordered_and_counted(
    policy: FramePolicy, capacity: int, steps: list[int | None]
) -> None:
    """None takes; a number waits that long and offers."""
    buffer: PictureBuffer[int] = PictureBuffer(options(policy, decoded=capacity))
    now, made, offered, taken, newest = 0, 0, 0, [], -1
    for step in steps:
        if step is None:
            item = buffer.take(now)
            if item is not None:
                taken.append(item)
                if policy is FRESHEST:
                    assert item == newest
            continue
        now += step
        if buffer.offer(made, now):
            newest = made
            offered += 1
        made += 1
        assert buffer.stats.size <= (1 if policy is FRESHEST else capacity)
    assert taken == sorted(set(taken))
    stats = buffer.stats
    assert stats.received == offered
    assert stats.received == stats.delivered + stats.size + sum(stats.dropped.values())
    if policy is EVERY:
        assert stats.dropped == {}


def test_options_refuse_a_bound_of_zero() -> None:
    with pytest.raises(ConfigError, match="decoded_capacity > 0"):
        ReceiveOptions(decoded_capacity=0)
