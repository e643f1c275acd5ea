"""The nouns of a memory: sessions with one anchor in wall time, events, and sights of things.

Times of events and sights are nanoseconds on their session's own monotonic line. Wall time is that
plus the session's anchor, so a clock that is set back reorders nothing.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retrieval.encoders.text import Vectors
from stream.errors import BadRecord
from stream.geometry import Box

Meanings = npt.NDArray[np.int8]  # [D] or [N, D]: a unit vector times SCALE

SCALE = 512.0  # 1/sqrt(384) times this is 26 of 127: few components are clipped
LOOK_BYTES = 160  # sign bits of an instance's appearance
MAX_TEXT = 20_000  # characters of one event's words; what is longer is cut by whoever makes it


@dataclass(frozen=True, slots=True)
class Session:
    """One wearing of the camera: where its time line lies in wall time."""

    id: str
    anchor_ns: int  # Unix time at 0 of the session's line; read once, never corrected
    zone: str = "UTC"  # of the wearer, an IANA name: what "yesterday" means
    encoder: str = ""  # of `Event.frame` and `Sight.meaning`: only one and the same are compared

    def wall_ns(self, session_ns: int) -> int:
        """Unix nanoseconds of a time on this session's line."""
        return self.anchor_ns + session_ns


@dataclass(frozen=True, slots=True, eq=False)
class Event:
    """A stretch of a session that hangs together, or an utterance in one (then it has a parent).

    Raises BadRecord where it ends before it begins or has no id.
    """

    id: str  # the same wherever the event is exported to
    session: str  # Session.id
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
        if not self.id or not self.session:
            raise BadRecord(
                f"expected an event with its id and session, got {self.id!r} in {self.session!r}"
            )
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
        if self.look is not None and len(self.look) != LOOK_BYTES:
            raise BadRecord(f"expected {LOOK_BYTES} bytes of look, got {len(self.look)}")


def quantise(vectors: Vectors) -> Meanings:
    """Unit float32 [..., D] -> int8 [..., D], scaled by SCALE; raises BadRecord for NaN or inf."""
    if not np.isfinite(vectors).all():
        raise BadRecord("expected finite numbers in a vector, got NaN or infinity")
    return np.asarray(np.clip(np.rint(vectors * SCALE), -127, 127), np.int8)


def _check_span(what: str, start_ns: int, end_ns: int) -> None:
    if end_ns < start_ns:
        raise BadRecord(
            f"expected an {what} that ends at or after its start {start_ns}, "
            f"got {end_ns}; times come from the session's monotonic clock"
        )


def _check_vector(what: str, vector: Meanings | None) -> None:
    if vector is not None and (vector.dtype != np.int8 or vector.ndim != 1 or not vector.size):
        raise BadRecord(f"expected {what} as [D] int8, got {vector.shape} {vector.dtype}")
