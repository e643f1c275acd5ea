"""One line of stream time for a session that may see several cameras, one after the other."""

from dataclasses import dataclass, replace

from stream.clock import NS_PER_MS
from stream.frame import Frame, FrameSource


@dataclass(slots=True)
class StreamTimeline:
    """Stream time of a session, on a grid of milliseconds as recordings keep it.

    Set `shift_ns` to None when another camera takes over: its first frame comes when it comes.
    """

    began_ns: int | None = None  # clock time of the first frame
    last_ns: int = -NS_PER_MS
    shift_ns: int | None = None  # from the camera's time to the session's

    def place(self, frame: Frame, now_ns: int) -> Frame:
        """The frame with the session's time, later than all before it."""
        if self.began_ns is None:
            self.began_ns = now_ns
        if self.shift_ns is None:
            self.shift_ns = now_ns - self.began_ns - frame.pts_ns
        pts_ns = (frame.pts_ns + self.shift_ns) // NS_PER_MS * NS_PER_MS
        self.last_ns = max(pts_ns, self.last_ns + NS_PER_MS)
        return replace(frame, pts_ns=self.last_ns)


def captured_ns(source: FrameSource, frame: Frame) -> int | None:
    """When a camera took a frame, by its own clock in Unix time, where it tells."""
    unix_ns = getattr(source, "capture_unix_ns", None)
    told: int | None = None if unix_ns is None else unix_ns(frame.pts_ns)
    return told
