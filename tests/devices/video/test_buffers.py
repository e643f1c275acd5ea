"""The buffers around the decoder: bounded, in order, every item accounted for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.video.assembler import EncodedFrame
from devices.video.buffers import (
    AWAITING_KEYFRAME,
    OVERFLOW,
    SKIPPED,
    STALE,
    SUPERSEDED,
    EncodedBuffer,
    PictureBuffer,
    QueuedFrame,
)
from devices.video.policy import FramePolicy, ReceiveOptions
from stream.errors import ConfigError

EVERY, FRESHEST, AUTO = FramePolicy.EVERY_FRAME, FramePolicy.FRESHEST, FramePolicy.AUTO
POLICIES = st.sampled_from(FramePolicy)


def options(policy: FramePolicy, decoded: int = 4, encoded: int = 6) -> ReceiveOptions:
    return ReceiveOptions(
        policy,
        max_staleness_ns=100,
        decoded_capacity=decoded,
        encoded_capacity=encoded,
        keyframe_wait_ns=1000,
    )


def queued(number: int, keyframe: bool = False, at_ns: int = 0) -> QueuedFrame:
    return QueuedFrame(EncodedFrame(number, b"d", 96, at_ns), keyframe)


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


def test_nothing_is_decoded_before_a_keyframe() -> None:
    buffer = EncodedBuffer(options(AUTO))
    buffer.offer(queued(0), 0)
    assert buffer.needs_keyframe and buffer.take() is None
    buffer.offer(queued(1, keyframe=True), 1)
    buffer.offer(queued(2), 2)
    assert not buffer.needs_keyframe
    assert [q.frame.timestamp for q in (buffer.take(), buffer.take()) if q] == [1, 2]
    assert buffer.stats.dropped == {AWAITING_KEYFRAME: 1}


def test_a_sender_that_ignores_requests_is_decoded_after_a_while() -> None:
    buffer = EncodedBuffer(options(AUTO))
    buffer.offer(queued(0), 0)
    buffer.offer(queued(1), 999)
    assert buffer.take() is None
    buffer.offer(queued(2), 1000)
    assert buffer.take() is not None


def test_a_decoder_that_falls_behind_starts_again_at_a_keyframe() -> None:
    buffer = EncodedBuffer(options(AUTO))
    buffer.offer(queued(0, keyframe=True), 0)
    buffer.offer(queued(1), 50)
    buffer.offer(queued(2), 101)  # frame 0 has waited for more than the budget
    assert buffer.needs_keyframe and buffer.take() is None
    assert buffer.stats.dropped == {OVERFLOW: 3}


def test_a_keyframe_makes_what_waits_before_it_unnecessary() -> None:
    buffer = EncodedBuffer(options(FRESHEST))
    buffer.offer(queued(0, keyframe=True), 0)
    buffer.offer(queued(1), 1)
    buffer.offer(queued(2, keyframe=True), 2)
    taken = buffer.take()
    assert taken is not None and taken.frame.timestamp == 2
    assert buffer.stats.dropped == {SKIPPED: 2}


@given(POLICIES, st.lists(st.one_of(st.none(), st.tuples(st.booleans(), st.integers(0, 80)))))
def test_what_is_decoded_always_has_its_references(
    policy: FramePolicy, steps: list[tuple[bool, int] | None]
) -> None:
    """Each frame taken is a keyframe, or its predecessor in the stream was taken before it."""
    limits = options(policy)
    buffer = EncodedBuffer(ReceiveOptions(policy, 100, encoded_capacity=6))  # waits 3 s for a key
    now, number, last = 0, 0, None
    for step in steps:
        if step is None:
            item = buffer.take()
            if item is not None:
                assert item.keyframe or last == item.frame.timestamp - 1
                last = item.frame.timestamp
            continue
        keyframe, wait = step
        now += wait
        buffer.offer(queued(number, keyframe, now), now)
        number += 1
        assert buffer.stats.size <= limits.encoded_capacity
    stats = buffer.stats
    assert stats.received == stats.delivered + stats.size + sum(stats.dropped.values())


def test_options_refuse_a_bound_of_zero() -> None:
    with pytest.raises(ConfigError, match="decoded_capacity > 0"):
        ReceiveOptions(decoded_capacity=0)
