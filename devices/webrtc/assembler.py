"""RTP packets into compressed frames, pure: time comes in as an argument.

A frame is complete when its last packet, the one with the marker bit (RFC 3550 section 5.1; RFC
7741 and RFC 6184 for VP8 and H.264), is there and none is missing. Where the marker is absent or
lies, the frame is complete when the next timestamp begins, which is all that aiortc 1.16 does.
"""

from collections import Counter
from dataclasses import dataclass, replace

MAX_DROPOUT = 3000  # a larger jump ahead is a restarted sender (RFC 3550 appendix A.1)
MAX_MISORDER = 1000  # so is a larger jump back; smaller ones are late retransmissions
DISTRUST_FRAMES = 60  # frames with a correct marker before it is believed again
REWIND = 32  # so many packets before the first one seen may still belong to the first frame

LATE = "late-packet"
DUPLICATE = "duplicate-packet"
LOST = "lost-packet"
INCOMPLETE = "incomplete-frame"
RESTART = "sender-restart"


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """What the assembler needs of one RTP packet."""

    sequence: int  # 0..65535
    timestamp: int  # 32 bit, 90 kHz
    marker: bool
    payload_type: int
    data: bytes  # depacketised payload; empty for padding


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """One complete compressed frame. `data` and `timestamp` are what aiortc's decoders read."""

    timestamp: int  # 90 kHz
    data: bytes
    payload_type: int
    arrival_ns: int  # when its last packet was taken in

    def at(self, timestamp: int) -> "EncodedFrame":
        """The same frame on another time line."""
        return replace(self, timestamp=timestamp)


@dataclass(frozen=True, slots=True)
class Assembled:
    """What one step gave: frames, which follow a loss when `lost`."""

    frames: tuple[EncodedFrame, ...] = ()
    lost: bool = False
    restarted: bool = False  # the sender began anew, with another timestamp origin


class FrameAssembler:
    """Puts packets in order, completes frames, gives up on what stays missing."""

    def __init__(self, loss_wait_ns: int, capacity: int = 1024) -> None:
        self._loss_wait_ns = loss_wait_ns
        self._capacity = capacity
        self.counts: Counter[str] = Counter()
        self.restart()

    def restart(self) -> None:
        """Forget all packets: another sender begins."""
        self._packets: dict[int, RtpPacket] = {}  # extended sequence -> waiting packet
        self._missing: dict[int, int] = {}  # extended sequence -> when noticed
        self._first = 0  # lowest extended sequence taken in
        self._early: dict[int, RtpPacket] = {}  # consumed before the first frame went out
        self._head = 0  # next extended sequence to consume
        self._highest: int | None = None
        self._open: list[RtpPacket] = []  # the frame being built
        self._emitted: int | None = None  # timestamp of the last frame given out
        self._distrust = 0

    def add(self, packet: RtpPacket, now_ns: int) -> Assembled:
        """Take one packet in."""
        restarted = self._restart_if_far(packet)
        lost = restarted
        sequence = self._extend(packet.sequence)
        if sequence in self._packets:
            self.counts[DUPLICATE] += 1
            return Assembled()
        if sequence < self._head and not self._rewind(sequence, now_ns):
            self.counts[LATE] += 1
            return Assembled()
        self._packets[sequence] = packet
        self._notice(sequence, now_ns)
        while sequence - self._head >= self._capacity:
            self._skip()
            lost = True
        return Assembled(tuple(self._drain(now_ns)), lost, restarted)

    def expire(self, now_ns: int) -> Assembled:
        """Give up on the first gap if it is too old; call again until nothing is lost."""
        if now_ns - self._missing.get(self._head, now_ns) < self._loss_wait_ns:
            return Assembled()
        self._skip()
        return Assembled(tuple(self._drain(now_ns)), lost=True)

    def missing(self) -> list[int]:
        """Sequence numbers (16 bit) to ask for again, oldest first."""
        return [sequence & 0xFFFF for sequence in sorted(self._missing)]

    @property
    def waiting(self) -> int:
        """Packets held back now."""
        return len(self._packets) + len(self._open)

    def _restart_if_far(self, packet: RtpPacket) -> bool:
        if self._highest is None:
            return False
        if -MAX_MISORDER < _signed16(packet.sequence - self._highest) < MAX_DROPOUT:
            return False
        self.counts[RESTART] += 1
        self.restart()
        return True

    def _extend(self, sequence: int) -> int:
        """16 bit sequence number -> one that does not wrap, nearest to the highest seen."""
        if self._highest is None:
            return sequence + 0x10000  # room to go back below the first one seen
        return self._highest + _signed16(sequence - self._highest)

    def _notice(self, sequence: int, now_ns: int) -> None:
        self._missing.pop(sequence, None)
        if self._highest is None:
            self._first = self._head = self._highest = sequence
            return
        for gap in range(self._highest + 1, sequence):
            self._missing[gap] = now_ns
        self._highest = max(self._highest, sequence)

    def _rewind(self, sequence: int, now_ns: int) -> bool:
        """Before the first frame went out, an earlier packet may still start it."""
        if self._emitted is not None or not 0 < self._first - sequence <= REWIND:
            return False
        self._packets.update(self._early)
        self._early, self._open = {}, []
        self._missing.update(dict.fromkeys(range(sequence + 1, self._first), now_ns))
        self._first = self._head = sequence
        return True

    def _drain(self, now_ns: int) -> list[EncodedFrame]:
        """Consume contiguous packets; return the frames that they complete."""
        frames: list[EncodedFrame] = []
        while (packet := self._packets.pop(self._head, None)) is not None:
            if self._emitted is None:
                self._early[self._head] = packet
            self._head += 1
            if not packet.data:
                continue  # padding says nothing about frames
            if self._open and packet.timestamp != self._open[0].timestamp:
                self._judge_markers()
                frames.append(self._finish(now_ns))
            if packet.timestamp == self._emitted:
                self._distrust = DISTRUST_FRAMES  # the marker came before the frame's end
            self._open.append(packet)
            if packet.marker and not self._distrust:
                frames.append(self._finish(now_ns))
        return frames

    def _judge_markers(self) -> None:
        """Believe the marker again after many frames that carry it on their last packet only."""
        marks = [packet.marker for packet in self._open]
        right = marks[-1] and not any(marks[:-1])
        if self._distrust:
            self._distrust = self._distrust - 1 if right else DISTRUST_FRAMES

    def _finish(self, now_ns: int) -> EncodedFrame:
        packets, self._open = self._open, []
        self._early = {}
        self._emitted = packets[0].timestamp
        data = b"".join(packet.data for packet in packets)
        return EncodedFrame(self._emitted, data, packets[0].payload_type, now_ns)

    def _skip(self) -> None:
        """Leave the frame with the gap out; go on at the first frame known to be whole."""
        waiting = sorted(self._packets)
        start = next((n for n in waiting if self._begins_frame(n)), None)
        if start is None:
            start = waiting[-1] + 1 if waiting else self._head + 1
        gone = self._open + [self._packets.pop(n) for n in waiting if n < start]
        self._open = []
        self.counts[INCOMPLETE] += len({packet.timestamp for packet in gone})
        for sequence in [n for n in self._missing if n < start]:
            del self._missing[sequence]
            self.counts[LOST] += 1
        self._head = start

    def _begins_frame(self, sequence: int) -> bool:
        before = self._packets.get(sequence - 1)
        if before is None:
            return False
        return before.timestamp != self._packets[sequence].timestamp


def _signed16(difference: int) -> int:
    return (difference + 0x8000) % 0x10000 - 0x8000
