"""Whether a camera's pictures still come, and how a wearer is told how old the last one is."""

from dataclasses import dataclass

from stream.clock import NS_PER_MS, NS_PER_S

STALL_NS = 3 * NS_PER_S  # without a picture: something is wrong with a camera that streams
GAPS = 3  # ... unless it sends so rarely: so many of its gaps are waited for
OLD_NS = 2 * NS_PER_S  # an answer says how old its picture is, from here on
UNITS = (("hour", 3600), ("minute", 60), ("second", 1))
STALLED = "The camera has stopped sending pictures."  # said once


@dataclass(slots=True)
class CameraWatch:
    """The pictures of the camera in use. All times are of the session's clock.

    What is waited for is the camera alone: a frame that the models work on is no silence.
    """

    since_ns: int  # since when the next picture is waited for
    seen_ns: int | None = None  # when the last one came, of whichever camera
    gap_ns: int = 0  # how long the last one was waited for
    steady: bool = True  # its pictures are meant to come without a pause
    stalled: bool = False

    def begin(self, now_ns: int, steady: bool) -> None:
        """Another camera has come into use."""
        self.since_ns, self.gap_ns = now_ns, 0
        self.steady, self.stalled = steady, False

    def came(self, now_ns: int) -> bool:
        """A picture has come; whether that ends a stall."""
        was, self.stalled = self.stalled, False
        self.gap_ns, self.since_ns = now_ns - self.since_ns, now_ns
        self.seen_ns = now_ns
        return was

    def done(self, now_ns: int) -> None:
        """The models have done with it; the next one is waited for."""
        self.since_ns = now_ns

    def stalls(self, now_ns: int) -> bool:
        """Whether a stall has begun since this was asked last."""
        patience_ns = max(STALL_NS, GAPS * self.gap_ns)
        if self.stalled or not self.steady or now_ns - self.since_ns <= patience_ns:
            return False
        self.stalled = True
        return True

    def age_ns(self, now_ns: int) -> int:
        """How old the last picture is; 0 before the first."""
        return 0 if self.seen_ns is None else now_ns - self.seen_ns


def old_picture(age_ns: int) -> str:
    """What is said before an answer about a picture of that age, with a space behind it."""
    seconds = max(1, round(age_ns / NS_PER_S))
    unit, length = next(one for one in UNITS if seconds >= one[1])
    count = seconds // length
    return f"The last picture came {count} {unit}{'' if count == 1 else 's'} ago. "


def aged(age_ms: int | None) -> str:
    """What goes before an answer about an old picture."""
    return "" if age_ms is None else old_picture(age_ms * NS_PER_MS)
