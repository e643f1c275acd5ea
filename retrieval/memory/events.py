"""The nouns of a memory: sessions with one anchor in wall time, events, and sights of things.

Times of events and sights are nanoseconds on their session's own monotonic line. Wall time is that
plus the session's anchor, so a clock that is set back reorders nothing.
"""

from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import numpy.typing as npt

from stream.errors import BadRecord
from stream.geometry import Box

Floats = npt.NDArray[np.float32]  # [..., D]
Meanings = npt.NDArray[np.int8]  # [D] or [N, D]: a unit vector times SCALE

SCALE = 512.0  # 1/sqrt(384) times this is 26 of 127: few components are clipped
LOOK_BYTES = 160  # sign bits of an instance's appearance
MAX_ID = 200
MAX_NS = 2**61  # of any time: 73 years; a time and an anchor together fit 64 bits
MAX_TEXT = 20_000  # characters of one event's words; what is longer is cut by whoever makes it


@dataclass(frozen=True, slots=True)
class MemorySession:
    """One wearing of the camera: where its time line lies in wall time."""

    id: str
    anchor_ns: int  # Unix time at 0 of the session's line; read once, never corrected
    zone: str = "UTC"  # of the wearer, an IANA name: what "yesterday" means
    encoder: str = ""  # of `Event.frame` and `Sight.meaning`: only one and the same are compared

    def wall_ns(self, session_ns: int) -> int:
        """Unix nanoseconds of a time on this session's line."""
        return self.anchor_ns + session_ns

    def __post_init__(self) -> None:
        check_id(self.id)
        _check_words(self.encoder)
        if not 0 <= self.anchor_ns < MAX_NS:
            raise BadRecord(f"expected an anchor in Unix nanoseconds, got {self.anchor_ns}")
        try:
            ZoneInfo(self.zone)
        except (ValueError, OSError, ZoneInfoNotFoundError) as error:
            raise BadRecord(
                f"expected a time zone's IANA name, got {self.zone!r}; without tzdata use UTC"
            ) from error


@dataclass(frozen=True, slots=True, eq=False)
class Event:
    """A stretch of a session that hangs together, or an utterance in one (then it has a parent).

    Raises BadRecord where it ends before it begins or has no id.
    """

    id: str  # the same wherever the event is exported to
    session: str  # MemorySession.id
    start_ns: int  # on the session's line
    end_ns: int  # the same as start_ns for an instant
    parent: str | None = None  # id of the event that this was said in
    text: str = ""  # what was read or described
    said: str = ""  # what was heard, the assistant's answers included
    spoken_by: str = ""  # "wearer", "foveal", or what a speaker is called; empty where unknown
    frame: Meanings | None = None  # [D] int8, of the keyframes' mean in the joint space

    def __post_init__(self) -> None:
        _check_span("event", self.start_ns, self.end_ns)
        _check_vector("frame", self.frame)
        for name in (self.id, self.session, "-" if self.parent is None else self.parent):
            check_id(name)
        _check_words(self.text, self.said, self.spoken_by)
        if len(self.text) > MAX_TEXT or len(self.said) > MAX_TEXT:
            raise BadRecord(
                f"expected at most {MAX_TEXT} characters of an event, got "
                f"{max(len(self.text), len(self.said))}; make several events of it"
            )


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """One thing in one event: a masklet's first and last moment there, and where it was best seen.

    Raises BadRecord for an empty box, a confidence outside 0..1, or vectors of a wrong form.
    """

    event: str  # Event.id
    track: int  # the masklet's number in its session
    name: str  # what it is called; empty where unknown
    confidence: float  # of the name, 0..1
    box: Box  # pixels of the frame where it was seen best
    start_ns: int  # on the session's line
    end_ns: int
    meaning: Meanings | None = None  # [D] int8 in the joint space, text-aligned
    look: bytes | None = None  # sign bits, to tell one cup from another; never of a person

    def __post_init__(self) -> None:
        _check_span("sight", self.start_ns, self.end_ns)
        _check_vector("meaning", self.meaning)
        if not 0.0 <= self.confidence <= 1.0:
            raise BadRecord(f"expected a confidence from 0 to 1, got {self.confidence}")
        if self.box[2] <= self.box[0] or self.box[3] <= self.box[1]:
            raise BadRecord(f"expected a box x0,y0,x1,y1 with x1 > x0 and y1 > y0, got {self.box}")
        _check_words(self.name)
        numbers = (self.track, *self.box)
        if not all(isinstance(one, int) and abs(one) < MAX_NS for one in numbers):
            raise BadRecord("expected a track and a box of whole numbers of 64 bits")
        if self.look is not None and len(self.look) != LOOK_BYTES:
            raise BadRecord(f"expected {LOOK_BYTES} bytes of look, got {len(self.look)}")


def quantise(vectors: Floats) -> Meanings:
    """Unit float32 [..., D] -> int8 [..., D], scaled by SCALE; raises BadRecord for NaN or inf."""
    if not np.isfinite(vectors).all():
        raise BadRecord("expected finite numbers in a vector, got NaN or infinity")
    return np.asarray(np.clip(np.rint(vectors * SCALE), -127, 127), np.int8)


def check_id(name: str) -> None:
    """Raises BadRecord for an id that is empty, long, or cannot be printed."""
    if not name or len(name) > MAX_ID or not name.isprintable():
        raise BadRecord(f"expected an id of 1 to {MAX_ID} printable characters, got {name[:20]!r}")


def _check_words(*texts: str) -> None:
    if not all(isinstance(text, str) for text in texts):
        raise BadRecord("expected words as text, got something else")


def _check_span(what: str, start_ns: int, end_ns: int) -> None:
    for time_ns in (start_ns, end_ns):
        if not isinstance(time_ns, int) or abs(time_ns) >= MAX_NS:
            raise BadRecord(f"expected times of an {what} in nanoseconds, got {time_ns}")
    if end_ns < start_ns:
        raise BadRecord(
            f"expected an {what} that ends at or after its start {start_ns}, "
            f"got {end_ns}; times come from the session's monotonic clock"
        )


def _check_vector(what: str, vector: Meanings | None) -> None:
    if vector is not None and (vector.dtype != np.int8 or vector.ndim != 1 or not vector.size):
        raise BadRecord(f"expected {what} as [D] int8, got {vector.shape} {vector.dtype}")
