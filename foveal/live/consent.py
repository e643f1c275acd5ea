"""Leave to record: it is given for a while, and ends unless it is given again."""

from dataclasses import dataclass

from foveal.live.protocol.server import RecordingMessage
from stream.clock import NS_PER_S

WARNING_NS = 60 * NS_PER_S  # before the end
ALONE_NS = 60 * NS_PER_S  # nobody is there who would see that it is recorded
EXPIRED = "nobody asked for it to go on"
ALONE = "nobody was there to see that it was recorded"


@dataclass(slots=True)
class Consent:
    """Of one session; times on its clock."""

    lasts_ns: int
    until_ns: int = 0
    recording: str | None = None  # that runs
    watched_ns: int = 0  # when somebody last saw it
    warned: bool = False

    def give(self, now_ns: int) -> None:
        """From now on, once more."""
        self.until_ns, self.watched_ns = now_ns + self.lasts_ns, now_ns
        self.warned = False

    def state(self, now_ns: int, recording: str) -> RecordingMessage:
        """What clients are told of a recording that runs."""
        left_s = max(0, self.until_ns - now_ns) // NS_PER_S
        return RecordingMessage(on=True, id=recording, left_s=left_s)

    def ended(self, now_ns: int, watched: bool) -> str | None:
        """Why a recording that runs has to end, if it has."""
        if self.recording is None:
            return None
        if watched:
            self.watched_ns = now_ns
        if now_ns >= self.until_ns:
            return EXPIRED
        return ALONE if now_ns - self.watched_ns >= ALONE_NS else None

    def warns(self, now_ns: int) -> bool:
        """Whether its end is near and has not been told: once."""
        near = self.recording is not None and now_ns >= self.until_ns - WARNING_NS
        first, self.warned = near and not self.warned, self.warned or near
        return first
