"""The events of a session while they are found: stretches between keyframes, joined by boundaries.

A boundary may move until the event after it is over (retrieval/memory/boundaries.py), so what was
seen is kept by stretches, each from one keyframe to the next, and joined once it is sure.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from foveal.session.memory.running_event import Followed, RunningEvent, size
from retrieval.memory.boundaries import (
    BoundaryConfig,
    BoundaryState,
    EventSpan,
    finish,
    init_boundaries,
    release,
    step,
)
from stream.events import Region
from stream.frame import Frame, Keyframe
from stream.keyframes.descriptor import describe

CONFIG = BoundaryConfig()
SCENES = ("first", "scene", "drift")  # keyframes after which the picture is another


@dataclass(frozen=True, slots=True, eq=False)
class Over:
    """An event that is over, in its stretches."""

    id: str
    stretches: tuple[RunningEvent, ...]


@dataclass(slots=True, eq=False)
class EventLine:
    """Of one session; its owner locks."""

    session: str
    state: BoundaryState = field(default_factory=lambda: init_boundaries(CONFIG))
    stretches: list[RunningEvent] = field(default_factory=list)
    count: int = 0  # events that are over
    _best: dict[int, Followed] = field(default_factory=dict)  # by track: who has its picture

    @property
    def next_id(self) -> str:
        """Of the event that is over next: nothing of it is in the file yet."""
        return f"{self.session}/{self.count + 1}"

    def take(
        self, frame: Frame, regions: Iterable[Region], keyframe: Keyframe | None
    ) -> tuple[list[Over], RunningEvent | None]:
        """The events that are over now, and the stretch that wants a look at this frame.

        What keyframes are told apart by, the colours of the selector's own descriptor, decides.
        """
        spans: list[EventSpan] = []
        if keyframe is not None or not self.stretches:
            colours = describe(frame.image).colours
            self.state, spans = step(self.state, CONFIG, frame.pts_ns, colours)
            over = self._over(spans)
            self._begin(frame.pts_ns, keyframe)
            if len(self.state.times) == 1:
                self._best = {}  # another event: it has pictures of its own
        else:
            over = []
        wanted = self.stretches[-1].see(frame, regions)
        return over, self.stretches[-1] if wanted else None

    def release(self) -> list[Over]:
        """The event that waits for its end to be moved, for a question that may be about it."""
        return self._over(release(self.state, CONFIG))

    def finish(self) -> list[Over]:
        """All that is left, at the end."""
        if not self.stretches:
            return []
        end_ns = self.stretches[-1].end_ns + 1
        found = self._over(finish(self.state, CONFIG, end_ns))
        if self.stretches:  # longer than an event may be without a keyframe
            found += self._over([EventSpan(self.stretches[0].start_ns, end_ns)])
        return found

    def _begin(self, at_ns: int, keyframe: Keyframe | None) -> None:
        before = self.stretches[-1] if self.stretches else None
        changed = keyframe is None or keyframe.reason in SCENES
        looked_ns = None if before is None or changed else before.looked_ns
        self.stretches.append(RunningEvent("", self.session, at_ns, at_ns, looked_ns))
        if before is not None:
            self._keep_best(before)

    def _keep_best(self, ended: RunningEvent) -> None:
        """One picture of a masklet is kept in all stretches together: they may be many."""
        waiting = {id(one) for stretch in self.stretches for one in stretch.followed.values()}
        for track, one in ended.followed.items():
            other = self._best.get(track)
            if other is not None and other is not one and id(other) in waiting:
                if size(other.region) >= size(one.region):
                    one.image = None
                    continue
                other.image = None
            self._best[track] = one
        self._best = {track: one for track, one in self._best.items() if id(one) in waiting}

    def _over(self, spans: Iterable[EventSpan]) -> list[Over]:
        found = []
        for span in spans:
            mine = tuple(one for one in self.stretches if one.start_ns < span.end_ns)
            self.stretches = self.stretches[len(mine) :]
            if mine:
                found.append(Over(self.next_id, mine))
                self.count += 1
        return found
