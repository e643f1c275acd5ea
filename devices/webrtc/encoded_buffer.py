"""Compressed frames between network and decoder, as pure state: time comes in as an argument.

Every compressed frame needs the ones before it, so dropping one means dropping all up to the next
keyframe.
"""

from dataclasses import dataclass

from devices.video.policy import FramePolicy, ReceiveOptions
from devices.webrtc.assembler import EncodedFrame
from stream.channel import CountedQueue

OVERFLOW = "overflow"  # the buffer was full
AWAITING_KEYFRAME = "awaiting-keyframe"  # its reference pictures are gone
SKIPPED = "skipped-to-keyframe"  # a keyframe behind it made it unnecessary

VP8_START_CODE = b"\x9d\x01\x2a"  # RFC 6386 section 9.1, bytes 3 to 5 of a keyframe
ANNEX_B = b"\x00\x00\x01"
NAL_IDR = 5  # ITU-T H.264 table 7-1


@dataclass(frozen=True, slots=True)
class QueuedFrame:
    """A compressed frame on its way to the decoder."""

    frame: EncodedFrame
    keyframe: bool


class EncodedBuffer(CountedQueue[QueuedFrame]):
    """Compressed frames between network and decoder; closed until a keyframe comes."""

    def __init__(self, options: ReceiveOptions) -> None:
        super().__init__(options.encoded_capacity)
        self._options = options
        self._closed = True
        self._closed_since_ns: int | None = None  # set with the first frame refused

    @property
    def needs_keyframe(self) -> bool:
        """Whether frames are refused until a keyframe comes."""
        return self._closed

    def require_keyframe(self) -> None:
        """Refuse frames from now on until a keyframe: the decoder's references are broken."""
        self._closed = True

    def offer(self, item: QueuedFrame, now_ns: int) -> None:
        """Add a frame, dropping as the policy says."""
        self._received += 1
        if item.keyframe:
            self._open(now_ns)
        elif self._refuses(now_ns):
            self._dropped[AWAITING_KEYFRAME] += 1
            return
        if self._overloaded(now_ns):
            self._clear(OVERFLOW)
            if not item.keyframe:
                self.require_keyframe()
                self._dropped[OVERFLOW] += 1
                return
        self._append(item)

    def take(self) -> QueuedFrame | None:
        """The next frame to decode, or None."""
        return self._popleft() if self._items else None

    def _open(self, now_ns: int) -> None:
        """A keyframe: nothing queued before it is needed by what follows."""
        self._closed, self._closed_since_ns = False, None
        policy = self._options.policy
        if policy is FramePolicy.FRESHEST or (
            policy is FramePolicy.AUTO and self._oldest_wait_ns(now_ns) > self._budget_ns
        ):
            self._clear(SKIPPED)

    def _refuses(self, now_ns: int) -> bool:
        if not self._closed:
            return False
        if self._closed_since_ns is None:
            self._closed_since_ns = now_ns
        if now_ns - self._closed_since_ns < self._options.keyframe_wait_ns:
            return True
        # The sender ignores requests, or never sends a keyframe (intra refresh): decode on.
        self._closed, self._closed_since_ns = False, None
        return False

    def _overloaded(self, now_ns: int) -> bool:
        """Full, or the decoder is so far behind that what it makes would be stale."""
        if self._full:
            return True
        if self._options.policy is FramePolicy.EVERY_FRAME:
            return False
        return self._oldest_wait_ns(now_ns) > self._budget_ns

    def _oldest_wait_ns(self, now_ns: int) -> int:
        return now_ns - self._items[0].frame.arrival_ns if self._items else 0

    @property
    def _budget_ns(self) -> int:
        return self._options.max_staleness_ns

    def _clear(self, cause: str) -> None:
        while self._items:
            self._drop(cause)


def is_keyframe(codec: str, data: bytes) -> bool:
    """Whether `data`, a whole frame of `codec` ("VP8", "H264"), refers to no other frame.

    Any other codec counts as keyframes only, so that nothing waits for one.
    """
    name = codec.upper()
    if name == "VP8":
        return len(data) >= 10 and not data[0] & 1 and data[3:6] == VP8_START_CODE
    if name == "H264":
        return _has_idr(data)
    return True


def _has_idr(data: bytes) -> bool:
    at = data.find(ANNEX_B)
    while 0 <= at < len(data) - len(ANNEX_B):
        if data[at + len(ANNEX_B)] & 0x1F == NAL_IDR:
            return True
        at = data.find(ANNEX_B, at + len(ANNEX_B))
    return False
