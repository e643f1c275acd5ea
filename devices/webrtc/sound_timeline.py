"""RTP timestamps of sound on the stream's own time line."""

from collections import deque

from stream.clock import NS_PER_S

RECENT = 128  # packets whose way through the network is remembered, 2.5 s
EARLY_NS = NS_PER_S  # nothing arrives so much sooner than the quickest of them
BACK_NS = NS_PER_S  # a smaller step back is the sender's slip


class SoundTimeline:
    """32-bit timestamps that wrap -> ns from the first packet, increasing.

    Silence that is not sent (DTX) and what is lost are steps in time. A timestamp a second back, or
    in the future, is of another origin: from there on by arrival.
    """

    def __init__(self) -> None:
        self._rtp: int | None = None
        self._hz = 0
        self._ticks = 0  # since the origin, which is at `_origin_ns`
        self._origin_ns = 0
        self._last_ns = -1
        self._arrival_ns: int | None = None
        self._ways: deque[int] = deque(maxlen=RECENT)  # arrival less time, ns

    def map(self, timestamp: int, clock_hz: int, arrival_ns: int) -> int:
        """Time of a packet in order; more than that of the one before."""
        pts_ns = self._by_timestamp(timestamp, clock_hz)
        if pts_ns is None or arrival_ns - pts_ns < min(self._ways) - EARLY_NS:
            pts_ns = self._by_arrival(clock_hz, arrival_ns)
        self._rtp, self._arrival_ns = timestamp, arrival_ns
        self._last_ns = pts_ns
        self._ways.append(arrival_ns - pts_ns)
        return pts_ns

    def restart(self) -> None:
        """The sender began anew with another timestamp origin: go on by arrival."""
        self._rtp = None

    def _by_timestamp(self, timestamp: int, clock_hz: int) -> int | None:
        if self._rtp is None or clock_hz != self._hz:
            return None
        step = (timestamp - self._rtp + 0x80000000) % 0x100000000 - 0x80000000
        if step * NS_PER_S < -BACK_NS * clock_hz:
            return None
        self._ticks += step
        return max(self._last_ns + 1, self._origin_ns + self._ticks * NS_PER_S // clock_hz)

    def _by_arrival(self, clock_hz: int, arrival_ns: int) -> int:
        elapsed_ns = 0 if self._arrival_ns is None else arrival_ns - self._arrival_ns
        self._origin_ns = self._last_ns + max(1, elapsed_ns)
        self._ticks, self._hz = 0, clock_hz
        self._ways.clear()
        return self._origin_ns
