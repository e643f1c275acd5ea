"""The two bounded buffers around the decoder, as pure state: time comes in as an argument.

After the decoder a picture can be dropped freely. Before it every compressed frame needs the ones
before it, so dropping one means dropping all up to the next keyframe.
"""

from collections import Counter, deque
from dataclasses import dataclass
from typing import Generic, TypeVar

from devices.video.assembler import EncodedFrame
from devices.video.policy import FramePolicy, ReceiveOptions
from stream.channel import ChannelStats

T = TypeVar("T")

SUPERSEDED = "superseded"  # a newer picture took its place
STALE = "stale"  # it waited longer than the staleness budget
OVERFLOW = "overflow"  # the buffer was full
AWAITING_KEYFRAME = "awaiting-keyframe"  # its reference pictures are gone
SKIPPED = "skipped-to-keyframe"  # a keyframe behind it made it unnecessary


class PictureBuffer(Generic[T]):
    """Decoded pictures between decoder and consumer."""

    def __init__(self, options: ReceiveOptions) -> None:
        self._policy = options.policy
        self._budget_ns = options.max_staleness_ns
        fresh = options.policy is FramePolicy.FRESHEST
        self._capacity = 1 if fresh else options.decoded_capacity
        self._items: deque[tuple[T, int]] = deque()
        self._lagging = False  # pictures were lost since the last take
        self._dropped: Counter[str] = Counter()
        self._peak = self._received = self._delivered = 0

    def offer(self, item: T, arrival_ns: int) -> bool:
        """Add a picture; False (and nothing added) when EVERY_FRAME has no room for it yet."""
        if len(self._items) >= self._capacity:
            if self._policy is FramePolicy.EVERY_FRAME:
                return False
            self._items.popleft()
            self._dropped[SUPERSEDED] += 1
            self._lagging = True
        self._items.append((item, arrival_ns))
        self._received += 1
        self._peak = max(self._peak, len(self._items))
        return True

    def take(self, now_ns: int) -> T | None:
        """The next picture to use, or None. Pictures past the staleness budget are dropped."""
        if self._lagging:
            self._dropped[SUPERSEDED] += len(self._items) - 1
            self._items = deque([self._items[-1]])
            self._lagging = False
        while self._items:
            item, arrival_ns = self._items.popleft()
            late = now_ns - arrival_ns > self._budget_ns
            if late and self._policy is not FramePolicy.EVERY_FRAME:
                self._dropped[STALE] += 1
                continue
            self._delivered += 1
            return item
        return None

    @property
    def stats(self) -> ChannelStats:
        """The numbers so far."""
        return ChannelStats(
            self._capacity,
            len(self._items),
            self._peak,
            self._received,
            self._delivered,
            dict(self._dropped),
        )


@dataclass(frozen=True, slots=True)
class QueuedFrame:
    """A compressed frame on its way to the decoder."""

    frame: EncodedFrame
    keyframe: bool


class EncodedBuffer:
    """Compressed frames between network and decoder; closed until a keyframe comes."""

    def __init__(self, options: ReceiveOptions) -> None:
        self._options = options
        self._items: deque[QueuedFrame] = deque()
        self._dropped: Counter[str] = Counter()
        self._closed = True
        self._closed_since_ns: int | None = None  # set with the first frame refused
        self._peak = self._received = self._delivered = 0

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
        self._items.append(item)
        self._peak = max(self._peak, len(self._items))

    def take(self) -> QueuedFrame | None:
        """The next frame to decode, or None."""
        if not self._items:
            return None
        self._delivered += 1
        return self._items.popleft()

    @property
    def stats(self) -> ChannelStats:
        """The numbers so far."""
        return ChannelStats(
            self._options.encoded_capacity,
            len(self._items),
            self._peak,
            self._received,
            self._delivered,
            dict(self._dropped),
        )

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
        if len(self._items) >= self._options.encoded_capacity:
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
        self._dropped[cause] += len(self._items)
        self._items.clear()
