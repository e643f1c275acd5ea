"""Time lines: RTP ticks that wrap, NTP times."""

from hypothesis import given
from hypothesis import strategies as st

from devices.video.timeline import CaptureClock, RtpTimeline, ntp_to_unix_ns, ticks_to_ns
from stream.clock import NS_PER_S


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(1, 2**30), max_size=20))
def test_the_time_line_does_not_wrap(first: int, steps: list[int]) -> None:
    timeline = RtpTimeline()
    assert timeline.map(first, 0) == 0
    total = 0
    for step in steps:
        total += step
        assert timeline.map((first + total) & 0xFFFFFFFF, 0) == total


def test_the_time_line_never_goes_back_and_goes_on_after_a_restart() -> None:
    timeline = RtpTimeline()
    timeline.map(1000, 0)
    assert timeline.map(91_000, NS_PER_S) == 90_000
    assert timeline.map(91_000, NS_PER_S) == 90_001
    timeline.restart()
    assert timeline.map(5, 3 * NS_PER_S) == 90_001 + 180_000
    assert ticks_to_ns(90_000) == NS_PER_S
    early = RtpTimeline()
    assert early.map(77, 0) == 0
    early.restart()
    assert early.map(5, 0) == 1


def test_capture_time_follows_the_sender_report() -> None:
    clock = CaptureClock()
    clock.observe(0, 5)
    assert clock.unix_ns(0) is None  # a sender without a clock says 0
    unix_s = 1_700_000_000
    clock.observe((unix_s + 2_208_988_800) << 32 | 1 << 31, NS_PER_S)
    assert ntp_to_unix_ns((unix_s + 2_208_988_800) << 32) == unix_s * NS_PER_S
    assert clock.unix_ns(NS_PER_S) == unix_s * NS_PER_S + NS_PER_S // 2
    assert clock.unix_ns(3 * NS_PER_S) == (unix_s + 2) * NS_PER_S + NS_PER_S // 2
