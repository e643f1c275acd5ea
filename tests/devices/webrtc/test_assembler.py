"""The marker rule, its fallback, loss, reordering, duplicates, wrap-around."""

import random
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from devices.webrtc.assembler import (
    DISTRUST_FRAMES,
    DUPLICATE,
    INCOMPLETE,
    LATE,
    LOST,
    RESTART,
    REWIND,
    EncodedFrame,
    FrameAssembler,
    RtpPacket,
)

WAIT_NS = 100
PT = 96


def packets_of(sizes: list[int], first: int = 65_530, marker: bool = True) -> list[RtpPacket]:
    """One frame per entry, that many packets each; sequence numbers wrap."""
    made: list[RtpPacket] = []
    for index, size in enumerate(sizes):
        for part in range(size):
            sequence = (first + len(made)) & 0xFFFF
            last = marker and part == size - 1
            data = bytes([index & 0xFF, part])
            made.append(RtpPacket(sequence, 3000 * index & 0xFFFFFFFF, last, PT, data))
    return made


def run(packets: list[RtpPacket], assembler: FrameAssembler | None = None) -> list[EncodedFrame]:
    assembler = assembler or FrameAssembler(WAIT_NS)
    return [frame for at, p in enumerate(packets) for frame in assembler.add(p, at).frames]


def test_a_frame_goes_out_with_its_marker_not_with_the_next_frame() -> None:
    packets = packets_of([3, 1])
    assembler = FrameAssembler(WAIT_NS)
    assert assembler.add(packets[0], 0).frames == ()
    assert assembler.add(packets[1], 1).frames == ()
    (frame,) = assembler.add(packets[2], 2).frames
    assert frame == EncodedFrame(0, b"\0\0\0\1\0\2", PT, 2)
    assert [f.timestamp for f in assembler.add(packets[3], 3).frames] == [3000]
    assert assembler.waiting == 0


def test_without_markers_the_next_timestamp_completes_the_frame() -> None:
    packets = packets_of([2, 2, 1], marker=False)
    assembler = FrameAssembler(WAIT_NS)
    emitted = [[f.timestamp for f in assembler.add(p, 0).frames] for p in packets]
    assert emitted == [[], [], [0], [], [3000]]


def test_reordered_packets_wait_for_the_gap_and_all_complete_frames_follow_at_once() -> None:
    a, b, c, d = packets_of([1, 2, 1])
    assembler = FrameAssembler(WAIT_NS)
    assert len(assembler.add(a, 0).frames) == 1
    assert assembler.add(c, 1).frames == ()
    assert assembler.add(d, 2).frames == ()
    assert assembler.missing() == [b.sequence]
    assert [f.data for f in assembler.add(b, 3).frames] == [b"\1\0\1\1", b"\2\0"]
    assert assembler.missing() == []


def test_an_earlier_first_packet_is_put_before_the_one_that_overtook_it() -> None:
    a, b, c = packets_of([3])
    assert [f.data for f in run([b, a, c])] == [b"\0\0\0\1\0\2"]


def test_duplicates_and_late_packets_change_nothing() -> None:
    packets = packets_of([2, 1])
    assembler = FrameAssembler(WAIT_NS)
    frames = run([packets[0], packets[0], *packets[1:], packets[0], packets[2]], assembler)
    assert [f.timestamp for f in frames] == [0, 3000]
    assert assembler.counts[LATE] == 3
    run([replace(packets[2], sequence=10), replace(packets[2], sequence=10)], assembler)
    assert assembler.counts[DUPLICATE] == 1


def test_a_lost_packet_costs_its_frame_and_no_other() -> None:
    packets = packets_of([1, 3, 1, 1])
    assembler = FrameAssembler(WAIT_NS)
    before = run([p for p in packets if p is not packets[2]], assembler)
    assert [f.timestamp for f in before] == [0]
    assert not assembler.expire(1 + WAIT_NS).lost
    step = assembler.expire(2 + WAIT_NS)
    assert step.lost
    assert [f.timestamp for f in step.frames] == [6000, 9000]
    assert (assembler.counts[LOST], assembler.counts[INCOMPLETE]) == (1, 1)
    assert not assembler.expire(10**9).lost


def test_padding_neither_opens_nor_closes_a_frame() -> None:
    packets = packets_of([1, 1])
    padding = RtpPacket((packets[0].sequence + 1) & 0xFFFF, 0, False, PT, b"")
    shifted = replace(packets[1], sequence=(packets[1].sequence + 1) & 0xFFFF)
    assembler = FrameAssembler(WAIT_NS)
    emitted = [len(assembler.add(p, 0).frames) for p in (packets[0], padding, shifted)]
    assert emitted == [1, 0, 1]  # the marker is still believed


def test_a_marker_that_comes_too_early_is_not_believed_until_it_behaves() -> None:
    """Some encoders mark the parameter sets, then send the picture with the same timestamp."""
    early = [replace(p, marker=True) for p in packets_of([2, 2], first=0)]
    good = [
        replace(p, timestamp=p.timestamp + 90_000)
        for p in packets_of([2] * (DISTRUST_FRAMES + 3), first=4)
    ]
    assembler = FrameAssembler(WAIT_NS)
    frames = run([*early, *good], assembler)
    assert [f.data for f in frames[:3]] == [b"\0\0", b"\0\1", b"\1\0\1\1"]
    assert frames[-1].timestamp == good[-1].timestamp  # out with its own marker again


def test_a_jump_far_ahead_is_a_restarted_sender() -> None:
    assembler = FrameAssembler(WAIT_NS)
    run(packets_of([1, 1], first=100), assembler)
    step = assembler.add(RtpPacket(40_000, 7, True, PT, b"x"), 5)
    assert step.lost and step.restarted
    assert [f.data for f in step.frames] == [b"x"]
    assert assembler.counts[RESTART] == 1


@given(st.lists(st.integers(1, 6), min_size=2, max_size=30), st.integers(0, 65_535), st.booleans())
def test_in_order_every_frame_comes_whole(sizes: list[int], first: int, marker: bool) -> None:
    packets = packets_of(sizes, first, marker)
    frames = run(packets)
    expected = len(sizes) if marker else len(sizes) - 1
    assert [f.timestamp for f in frames] == [3000 * i for i in range(expected)]
    sent = b"".join(p.data for p in packets)
    assert sent.startswith(b"".join(f.data for f in frames))


@given(st.lists(st.integers(1, 5), min_size=2, max_size=30), st.integers(0, 65_535), st.data())
def test_reordering_and_duplicates_give_what_order_gives(
    sizes: list[int], first: int, data: st.DataObject
) -> None:
    packets = packets_of([1, *sizes], first)
    head, rest = packets[:1], packets[1:]  # the stream's start is known
    noise = random.Random(data.draw(st.integers(0, 2**32)))
    shuffled = [p for p in rest for _ in range(noise.choice((1, 1, 2)))]
    noise.shuffle(shuffled)
    assert [f.data for f in run(head + shuffled)] == [f.data for f in run(packets)]


@given(st.lists(st.integers(1, 5), min_size=1, max_size=40), st.data())
def test_loss_only_costs_frames_that_lost_something(sizes: list[int], data: st.DataObject) -> None:
    packets = packets_of([1, *sizes, 1, 1])
    gone = data.draw(st.sets(st.integers(1, len(packets) - 3)))
    assembler = FrameAssembler(WAIT_NS)
    frames = run([p for i, p in enumerate(packets) if i not in gone], assembler)
    while (step := assembler.expire(10**9)).lost:
        frames += step.frames
    hurt = {packets[i].timestamp for i in gone}
    whole = {p.timestamp: b"" for p in packets}
    for p in packets:
        whole[p.timestamp] += p.data
    emitted = {f.timestamp: f.data for f in frames}
    # A frame right behind a lost frame's end may be given up with it: its start is not certain.
    for timestamp, content in emitted.items():
        if timestamp not in hurt and timestamp - 3000 not in hurt:
            assert content == whole[timestamp]
    unsure = {t + 3000 for t in hurt}
    assert set(whole) - hurt - unsure <= set(emitted)
    assert len(emitted) == len(frames)
    assert assembler.waiting == 0


@given(st.lists(st.tuples(st.integers(0, 65_535), st.integers(0, 5), st.booleans()), max_size=200))
def test_any_packets_at_all_keep_it_bounded(raw: list[tuple[int, int, bool]]) -> None:
    assembler = FrameAssembler(WAIT_NS, capacity=64)
    for now, (sequence, stamp, marker) in enumerate(raw):
        assembler.add(RtpPacket(sequence, stamp, marker, PT, b"d"), now)
        assembler.expire(now)
        assert len(assembler.missing()) <= 64 + REWIND
    assert assembler.waiting <= 200


def test_a_day_of_sequence_numbers_leaves_nothing_behind() -> None:
    """Three packets a frame at 15 fps wrap it 59 times a day; here it wraps once."""
    assembler = FrameAssembler(WAIT_NS)
    frames = lost = 0
    for number in range(70_000):
        if number % 997 == 500:
            continue
        stamp = number // 3 * 6000 & 0xFFFFFFFF
        packet = RtpPacket(number & 0xFFFF, stamp, number % 3 == 2, PT, b"d")
        step = assembler.add(packet, number * 10)
        frames, lost = frames + len(step.frames), lost + step.lost
        step = assembler.expire(number * 10)
        frames, lost = frames + len(step.frames), lost + step.lost
    assert lost == 70
    assert frames >= 70_000 // 3 - 2 * lost
    assert assembler.waiting < 40
    assert len(assembler.missing()) <= 1
