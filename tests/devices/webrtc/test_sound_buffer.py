"""Sound in order, whatever the network does: lost, late, doubled, silent packets."""

import dataclasses
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.webrtc.assembler import DUPLICATE, LATE, LOST, RESTART, RtpPacket
from devices.webrtc.sound_buffer import (
    CAPACITY,
    FIRST_WAIT_NS,
    JUMP,
    MAX_WAIT_NS,
    MEMORY_NS,
    MIN_WAIT_NS,
    SoundBuffer,
    Taken,
)
from devices.webrtc.sound_timeline import SoundTimeline
from stream.clock import NS_PER_MS, NS_PER_S

STEP_NS = 20 * NS_PER_MS
TICKS = 960


@dataclasses.dataclass(frozen=True)
class Sent:
    """One packet of a sender, and what the network does with it."""

    lost: bool = False
    late_ms: int = 0
    doubled: bool = False
    rest: int = 0  # packets of silence that are not sent before it


def numbered(number: int, ticks: int = 0, data: bytes = b"sound") -> RtpPacket:
    return RtpPacket(number % 0x10000, ticks % 0x100000000, False, 96, data)


def journey(sent: list[Sent], first: int = 0) -> list[tuple[int, int, RtpPacket]]:
    """(arrival, when it was sent, packet) in the order of arrival."""
    arrivals, slot = [], 0
    for number, one in enumerate(sent):
        slot += one.rest
        packet = numbered(first + number, first * TICKS + slot * TICKS)
        if not one.lost:
            for again in range(2 if one.doubled else 1):
                late_ns = (one.late_ms + 5 * again) * NS_PER_MS
                arrivals.append((slot * STEP_NS + late_ns, slot * STEP_NS, packet))
        slot += 1
    return sorted(arrivals, key=lambda one: one[0])


def receive(
    buffer: SoundBuffer, arrivals: list[tuple[int, int, RtpPacket]]
) -> list[tuple[Taken, int]]:
    """What comes out and when, with a clock that wakes the buffer when it wants to be woken."""
    out: list[tuple[Taken, int]] = []

    def wake(until_ns: float) -> None:
        now_ns = 0
        while (due_ns := buffer.deadline_ns(now_ns)) is not None and due_ns <= until_ns:
            now_ns = due_ns
            out.extend((taken, now_ns) for taken in buffer.expire(now_ns))

    for arrival_ns, _, packet in arrivals:
        wake(arrival_ns)
        out.extend((taken, arrival_ns) for taken in buffer.add(packet, arrival_ns))
    wake(float("inf"))
    return out


SENT = st.builds(
    Sent,
    lost=st.sampled_from([False, False, False, True]),
    late_ms=st.sampled_from([0, 0, 0, 5, 25, 45, 90, 300]),
    doubled=st.booleans(),
    rest=st.sampled_from([0, 0, 0, 0, 1, 20]),
)


@given(st.lists(SENT, max_size=80), st.sampled_from([0, 65_500]))
def test_order_and_delay_whatever_the_network_does(sent: list[Sent], first: int) -> None:
    buffer = SoundBuffer()
    arrivals = journey(sent, first)
    out = receive(buffer, arrivals)
    numbers = [taken.packet.timestamp for taken, _ in out]
    assert numbers == sorted(set(numbers))  # in order, none twice
    for taken, at_ns in out:
        assert taken.arrival_ns <= at_ns <= taken.arrival_ns + MAX_WAIT_NS
    came = {packet.timestamp for _, _, packet in arrivals}
    before = {stamp for stamp in came if stamp < numbers[0]} if out else came
    assert len(out) == len(came) - len(before) - buffer.counts[LATE]
    assert buffer.deadline_ns(10**15) is None  # nothing stays behind
    assert len(buffer._holes) <= CAPACITY


@given(st.lists(st.sampled_from([False] * 19 + [True]), min_size=20, max_size=200), st.data())
def test_no_more_sound_is_lost_than_packets(losses: list[bool], data: st.DataObject) -> None:
    """Whatever is lost: with packets out of order by less than the first wait, all others come."""
    late = st.sampled_from([0, 10, 30, 39])
    sent = [Sent(lost, 0 if at == 0 else data.draw(late)) for at, lost in enumerate(losses)]
    sent[0] = Sent()
    out = receive(SoundBuffer(), journey(sent))
    assert len(out) == sum(not one.lost for one in sent)
    tail = next(at for at, one in enumerate(reversed(sent)) if not one.lost)
    assert sum(taken.lost for taken, _ in out) == sum(one.lost for one in sent) - tail


@given(st.lists(SENT, min_size=1, max_size=80), st.integers(0, 2**32 - 1))
def test_time_never_drifts(sent: list[Sent], origin: int) -> None:
    """The time of what comes out is when it was sent, to the nanosecond, after any pattern."""
    buffer, timeline = SoundBuffer(), SoundTimeline()
    arrivals = journey(sent)
    sent_ns = {packet.timestamp: at_ns for _, at_ns, packet in arrivals}
    out = receive(buffer, arrivals)
    origin_ns = sent_ns[out[0][0].packet.timestamp] if out else 0
    for taken, _ in out:
        rtp = (taken.packet.timestamp + origin) % 0x100000000
        pts_ns = timeline.map(rtp, 48_000, taken.arrival_ns)
        assert pts_ns == sent_ns[taken.packet.timestamp] - origin_ns


def test_a_loss_delays_what_follows_once() -> None:
    sent = [Sent(lost=at in (10, 40)) for at in range(60)]
    out = receive(SoundBuffer(), journey(sent))
    waited = [at_ns - taken.arrival_ns for taken, at_ns in out]
    assert {at for at, ns in enumerate(waited) if ns} == {10, 11, 39, 40}
    assert max(waited) == FIRST_WAIT_NS
    assert [taken.lost for taken, _ in out if taken.lost] == [1, 1]


def test_the_wait_follows_the_network() -> None:
    buffer = SoundBuffer()
    quiet = [Sent() for _ in range(600)]
    receive(buffer, journey(quiet))
    assert buffer.wait_ns(600 * STEP_NS) == MIN_WAIT_NS  # 12 s in order
    late = [Sent(late_ms=60 if at % 50 == 10 else 0) for at in range(200)]
    receive(buffer := SoundBuffer(), journey(late))
    now_ns = 200 * STEP_NS
    assert buffer.wait_ns(now_ns) == round(1.25 * 40 * NS_PER_MS)  # noticed 20 ms after its turn
    assert buffer.counts[LATE] == 1  # the first has taught it
    assert buffer.wait_ns(now_ns + 2 * MEMORY_NS) == MIN_WAIT_NS
    worse = [Sent(late_ms=300 if at % 50 == 10 else 0) for at in range(200)]
    receive(buffer := SoundBuffer(), journey(worse))
    assert buffer.wait_ns(now_ns) == MAX_WAIT_NS
    assert buffer.counts[LATE] == buffer.counts[LOST] == 4


def test_one_far_packet_is_an_error_and_two_are_another_sender() -> None:
    buffer = SoundBuffer()
    for number in range(5):
        assert len(buffer.add(numbered(number), number)) == 1
    assert buffer.add(numbered(30_000), 6) == []
    assert len(buffer.add(numbered(5), 7)) == 1
    assert buffer.add(numbered(40_000), 8) == []
    (taken,) = buffer.add(numbered(40_001), 9)
    assert taken.restarted
    assert buffer.counts[JUMP] == 2 and buffer.counts[RESTART] == 1
    assert not buffer.add(numbered(40_002), 10)[0].restarted


def test_doubles_are_told_from_what_comes_too_late() -> None:
    buffer = SoundBuffer()
    for number in (0, 1, 1, 3, 3):
        buffer.add(numbered(number), 0)
    assert len(buffer.expire(MAX_WAIT_NS)) == 1
    buffer.add(numbered(2), MAX_WAIT_NS + 1)
    assert buffer.counts == {DUPLICATE: 2, LATE: 1, LOST: 1}


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.integers(0, 50)), max_size=200))
def test_any_sequence_numbers_at_any_time(packets: list[tuple[int, int]]) -> None:
    buffer, now_ns = SoundBuffer(), 0
    for number, pause_ms in packets:
        now_ns += pause_ms * NS_PER_MS
        out = [*buffer.expire(now_ns), *buffer.add(numbered(number), now_ns)]
        assert all(now_ns - taken.arrival_ns <= MAX_WAIT_NS + 50 * NS_PER_MS for taken in out)
        assert len(buffer._waiting) <= CAPACITY and len(buffer._holes) <= CAPACITY


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(st.integers(0, 2**32 - 1), st.sampled_from([8_000, 48_000]), st.integers(0, 500)),
        max_size=100,
    )
)
def test_any_timestamps_give_time_that_increases(packets: list[tuple[int, int, int]]) -> None:
    """A sender may lie about time: it goes on, by at most a second more than has passed."""
    timeline, now_ns, last_ns = SoundTimeline(), 0, -1
    for rtp, hz, pause_ms in packets:
        now_ns += pause_ms * NS_PER_MS
        pts_ns = timeline.map(rtp, hz, now_ns)
        assert pts_ns > last_ns
        assert pts_ns <= now_ns + NS_PER_S * (len(packets) + 1)
        last_ns = pts_ns


@pytest.mark.parametrize("ticks", [-5 * 48_000, 0, 3600 * 48_000], ids=["back", "still", "future"])
def test_one_bad_second_moves_no_clock(ticks: int) -> None:
    timeline = SoundTimeline()
    times = []
    for number in range(100):
        stamp = number * TICKS
        if 40 <= number < 45:
            stamp = (stamp + ticks) % 2**32 if ticks else 40 * TICKS
        times.append(timeline.map(stamp, 48_000, number * STEP_NS))
    assert times[-1] == pytest.approx(99 * STEP_NS, abs=5)
    assert all(one < other for one, other in itertools.pairwise(times))
