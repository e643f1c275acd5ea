"""RTP packets of sound in order, pure: time comes in as an argument.

A packet that is in order goes out at once, since a listener needs no even pace; one behind a hole
waits for it, as long as packets lately came late, 20 to 60 ms. So without loss nothing is delayed,
a loss delays what follows it once, and the next packet in order is in time again.
"""

from collections import Counter, deque
from dataclasses import dataclass

from devices.webrtc.assembler import (
    DUPLICATE,
    LATE,
    LOST,
    MAX_DROPOUT,
    RESTART,
    RtpPacket,
)
from stream.clock import NS_PER_MS, NS_PER_S

MIN_WAIT_NS = 20 * NS_PER_MS
MAX_WAIT_NS = 60 * NS_PER_MS
FIRST_WAIT_NS = 40 * NS_PER_MS  # before anything is known of the network
MARGIN = 1.25  # waited longer than the latest packet took
MEMORY_NS = 10 * NS_PER_S  # a late packet is remembered so long
MEMORIES = 32
MAX_MISORDER = 100  # a larger jump back is a restarted sender (RFC 3550 appendix A.1)
CAPACITY = 64  # packets that wait, and holes that are known

JUMP = "jumped-packet"  # far from the others, and alone there


@dataclass(frozen=True, slots=True)
class Taken:
    """One packet in its turn."""

    packet: RtpPacket
    arrival_ns: int
    lost: int = 0  # packets that are missing before it
    restarted: bool = False  # the sender began anew: its timestamps have another origin


class SoundBuffer:
    """Puts the packets of one source in order and gives up what stays missing."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._next: int | None = None  # sequence numbers here do not wrap
        self._waiting: dict[int, tuple[RtpPacket, int]] = {}  # with their arrival
        self._holes: dict[int, int] = {}  # missing, and since when; in order
        self._late: deque[tuple[int, int]] = deque(maxlen=MEMORIES)  # when, and how late
        self._top = 0  # the highest number seen
        self._odd: int | None = None  # what would follow a packet that jumped
        self._restarted = False

    def add(self, packet: RtpPacket, now_ns: int) -> list[Taken]:
        """Take a packet in; what may go out now, in order."""
        out: list[Taken] = []
        if self._next is None:
            self._begin(packet.sequence, now_ns)
        sequence = self._unwrapped(packet.sequence)
        if not -MAX_MISORDER < sequence - self._top < MAX_DROPOUT:
            if packet.sequence != self._odd:  # two in a row are a new beginning, one is an error
                self._odd = (packet.sequence + 1) % 0x10000
                self.counts[JUMP] += 1
                return out
            out = self.restart()
            self._begin(packet.sequence, now_ns)
            sequence = packet.sequence
        self._odd = None
        if self._is_wanted(sequence, now_ns):
            self._waiting[sequence] = packet, now_ns
            self._note_holes(sequence, now_ns)
            out += self._run()
            while len(self._waiting) > CAPACITY:
                out += self._skip()
        return out

    def expire(self, now_ns: int) -> list[Taken]:
        """What may go out because the packets before it are given up; call at `deadline_ns`."""
        out: list[Taken] = []
        while (deadline_ns := self.deadline_ns(now_ns)) is not None and deadline_ns <= now_ns:
            out += self._skip()
        return out

    def deadline_ns(self, now_ns: int) -> int | None:
        """When the oldest hole is given up; None while nothing waits."""
        if not self._waiting:
            return None
        return min(arrival for _, arrival in self._waiting.values()) + self.wait_ns(now_ns)

    def wait_ns(self, now_ns: int) -> int:
        """How long a packet waits for those before it."""
        lately = [late for at, late in self._late if now_ns - at < MEMORY_NS]
        return min(max(MIN_WAIT_NS, round(MARGIN * max(lately, default=0))), MAX_WAIT_NS)

    def restart(self) -> list[Taken]:
        """Another source from now on; what still waits of the old one."""
        out: list[Taken] = []
        while self._waiting:
            out += self._skip()
        self.counts[RESTART] += 1
        self._next, self._restarted = None, True
        return out

    def _begin(self, sequence: int, now_ns: int) -> None:
        self._next, self._top = sequence, sequence - 1
        self._holes.clear()
        self._late.append((now_ns, round(FIRST_WAIT_NS / MARGIN)))

    def _unwrapped(self, sequence: int) -> int:
        """The number near the highest one that these 16 bits stand for."""
        return self._top + (sequence - self._top + 0x8000) % 0x10000 - 0x8000

    def _is_wanted(self, sequence: int, now_ns: int) -> bool:
        """Whether a packet is new; learns from one that comes late."""
        assert self._next is not None
        noticed_ns = self._holes.pop(sequence, None)
        if noticed_ns is not None:
            self._late.append((now_ns, now_ns - noticed_ns))
        if sequence >= self._next:
            self.counts[DUPLICATE] += sequence in self._waiting
            return sequence not in self._waiting
        self.counts[DUPLICATE if noticed_ns is None else LATE] += 1
        return False

    def _note_holes(self, sequence: int, now_ns: int) -> None:
        for missing in range(max(self._top + 1, sequence - CAPACITY), sequence):
            self._holes[missing] = now_ns
        while len(self._holes) > CAPACITY:
            del self._holes[next(iter(self._holes))]
        self._top = max(self._top, sequence)

    def _run(self, lost: int = 0) -> list[Taken]:
        """The packets that are in order."""
        assert self._next is not None
        out: list[Taken] = []
        while (held := self._waiting.pop(self._next, None)) is not None:
            out.append(Taken(*held, lost, self._restarted))
            self._next, self._restarted, lost = self._next + 1, False, 0
        return out

    def _skip(self) -> list[Taken]:
        """Give the oldest hole up."""
        assert self._next is not None
        lost = min(self._waiting) - self._next
        self.counts[LOST] += lost
        self._next += lost
        return self._run(lost)
