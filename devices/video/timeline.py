"""From RTP timestamps to the stream's own time line, and to the sender's wall clock.

RTCP sender reports pair an NTP time with an RTP timestamp (RFC 3550 section 6.4.1), so a frame's
capture time is `ntp + (rtp - rtp_of_report) / 90000`.
"""

from dataclasses import dataclass

from stream.clock import NS_PER_S

VIDEO_CLOCK_HZ = 90_000
NTP_TO_UNIX_S = 2_208_988_800  # 1900 -> 1970


def ticks_to_ns(ticks: int) -> int:
    """90 kHz ticks -> nanoseconds."""
    return ticks * NS_PER_S // VIDEO_CLOCK_HZ


def ntp_to_unix_ns(ntp: int) -> int:
    """64-bit NTP timestamp (32.32 seconds since 1900) -> nanoseconds since 1970."""
    return ((ntp * NS_PER_S) >> 32) - NTP_TO_UNIX_S * NS_PER_S


class RtpTimeline:
    """32-bit RTP timestamps that wrap -> ticks from the stream's first frame, never decreasing."""

    def __init__(self) -> None:
        self._last_rtp: int | None = None
        self._last_ticks = 0
        self._last_arrival_ns: int | None = None

    def map(self, rtp: int, arrival_ns: int) -> int:
        """Ticks of a frame; strictly more than the frame before."""
        ticks = self.peek(rtp)
        if self._last_arrival_ns is not None:
            elapsed_ns = arrival_ns - self._last_arrival_ns
            if ticks is None:
                ticks = self._last_ticks + elapsed_ns * VIDEO_CLOCK_HZ // NS_PER_S
            ticks = max(ticks, self._last_ticks + 1)
        ticks = ticks or 0
        self._last_rtp, self._last_ticks, self._last_arrival_ns = rtp, ticks, arrival_ns
        return ticks

    def peek(self, rtp: int) -> int | None:
        """Ticks of any timestamp near the last frame's; None before the first frame."""
        step = self.step(rtp)
        return None if step is None else self._last_ticks + step

    def step(self, rtp: int) -> int | None:
        """Ticks from the last frame's timestamp to this one; None before the first frame."""
        if self._last_rtp is None:
            return None
        return (rtp - self._last_rtp + 0x80000000) % 0x100000000 - 0x80000000

    def restart(self) -> None:
        """The sender began anew with another timestamp origin: go on by arrival time."""
        self._last_rtp = None


@dataclass(slots=True)
class CaptureClock:
    """The latest sender report, on the stream's time line."""

    # Its time, and the stream's then: one value, so that other threads read a pair that belongs.
    reference: tuple[int, int] | None = None

    def observe(self, ntp: int, pts_ns: int) -> None:
        """Take a report in; an NTP time of 0 means that the sender has no clock."""
        if ntp:
            self.reference = ntp_to_unix_ns(ntp), pts_ns

    def restart(self) -> None:
        """The sender's timestamps began anew: wait for the next report."""
        self.reference = None

    def unix_ns(self, pts_ns: int) -> int | None:
        """When the frame at `pts_ns` was captured, on the sender's clock; None until a report."""
        reference = self.reference
        return None if reference is None else reference[0] + pts_ns - reference[1]
