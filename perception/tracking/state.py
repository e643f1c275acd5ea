"""What the embedded tracker remembers of each object, and for how long."""

from dataclasses import dataclass, replace

from perception.tracking.flow import Grey
from perception.tracking.match import Look
from perception.tracking.roi import Soft, Window
from perception.tracking.settings import TrackerConfig


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One object's own memory."""

    track_id: int
    first: Look  # the frame it was added in
    recent: tuple[Look, ...]  # the last frames it was seen in; keys are shared between objects
    spaced: tuple[Look, ...]  # looks from longer ago, `gap` frames apart
    colours: Soft  # [2, 4096] shares of each colour in and around it
    window: Window  # where it was last seen
    soft: Soft  # [ROI, ROI] its soft mask there
    area: float  # share of the frame, when last seen
    seen: bool = True
    gap: int = 4
    since: int = 0  # frames seen since the last spaced look

    @property
    def looks(self) -> list[Look]:
        """All that is remembered, the first look first."""
        return [self.first, *self.spaced, *self.recent]

    @property
    def whole_looks(self) -> list[Look]:
        """The first look and those that show most of the object, not what was left of it."""
        areas = [float(look.label.sum()) for look in self.looks]
        wanted = 0.5 * max(areas)
        rest = zip(self.looks[1:], areas[1:], strict=True)
        return [self.first, *(look for look, area in rest if area >= wanted)]


@dataclass(frozen=True, slots=True, eq=False)
class TrackerState:
    """All live masklets; bounded by the looks of each and by `max_tracks`."""

    tracks: tuple[Track, ...] = ()
    grey: Grey | None = None  # the last frame, small
    next_id: int = 1
    turn: int = 0  # of the lost masklets, which of them is looked for next
    since: int = 0  # frames followed since masks were cut anew


def remember(track: Track, look: Look, config: TrackerConfig) -> Track:
    """Add a look; when the spaced ones are full, every second one goes and the gap doubles."""
    recent = (*track.recent, look)[-config.recent :]
    spaced, gap, since = track.spaced, track.gap, track.since + 1
    if since >= gap:
        spaced, since = (*spaced, look), 0
        if len(spaced) > config.spaced and gap < config.max_gap:
            spaced, gap = spaced[1::2], 2 * gap
    return replace(track, recent=recent, spaced=spaced[-config.spaced :], gap=gap, since=since)


def replace_look(track: Track, look: Look) -> Track:
    """The same memory with another look at the last frame."""
    last = track.recent[-1]

    def swapped(looks: tuple[Look, ...]) -> tuple[Look, ...]:
        return tuple(look if each is last else each for each in looks)

    return replace(track, recent=swapped(track.recent), spaced=swapped(track.spaced))
