"""The buffer before the decoder: bounded, in order, never without references; keyframes told."""

import av
import numpy as np
import pytest
from aiortc.codecs import h264, vpx
from hypothesis import given
from hypothesis import strategies as st

from devices.video.policy import FramePolicy, ReceiveOptions
from devices.webrtc.assembler import EncodedFrame
from devices.webrtc.encoded_buffer import (
    AWAITING_KEYFRAME,
    OVERFLOW,
    SKIPPED,
    EncodedBuffer,
    QueuedFrame,
    is_keyframe,
)

FRESHEST, AUTO = FramePolicy.FRESHEST, FramePolicy.AUTO
POLICIES = st.sampled_from(FramePolicy)


def options(policy: FramePolicy, encoded: int = 6) -> ReceiveOptions:
    return ReceiveOptions(
        policy, max_staleness_ns=100, encoded_capacity=encoded, keyframe_wait_ns=1000
    )


def queued(number: int, keyframe: bool = False, at_ns: int = 0) -> QueuedFrame:
    return QueuedFrame(EncodedFrame(number, b"d", 96, at_ns), keyframe)


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


@pytest.mark.parametrize("codec", ["VP8", "H264"])
def test_keyframes_are_told_from_the_bytes_of_real_encoders(codec: str) -> None:
    encoder = vpx.Vp8Encoder() if codec == "VP8" else h264.H264Encoder()
    depayload = vpx.vp8_depayload if codec == "VP8" else h264.h264_depayload
    verdicts = []
    for number in range(6):
        image = np.full((120, 160, 3), 30 * number, np.uint8)
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts, frame.time_base = number * 3000, vpx.VIDEO_TIME_BASE
        payloads, _ = encoder.encode(frame, force_keyframe=number == 4)
        verdicts.append(is_keyframe(codec, b"".join(map(depayload, payloads))))
    assert verdicts == [True, False, False, False, True, False]


@given(st.sampled_from(["VP8", "H264", "opus"]), st.binary(max_size=64))
def test_any_bytes_get_a_verdict(codec: str, data: bytes) -> None:
    assert is_keyframe(codec, data) in (True, False)
