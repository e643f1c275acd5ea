"""The standing questions of one session: what is taken, when it is looked for, what comes of it.

Nothing is looked for in a picture of its own where that can be helped: a keyframe is looked at
anyway. Between keyframes there is a look every few seconds, and one soon after a look that would
be enough with another. All of it is the frames' own thread's, except `plan`.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import torch

from foveal.config.standing import StandingSettings
from foveal.session.late_masks import Moment
from foveal.session.watch_book import Watch, WatchBook
from perception.detect.coco import EVERYDAY
from perception.detect.detector import Detection
from perception.reid.reidentifier import described
from perception.scene.grounded_region import GroundedRegion, where_box
from perception.scene.spotting import NOWHERE, SpottedThing, Spotter
from reasoning.standing import wording
from reasoning.standing.leaving import Descriptor, Leaving
from reasoning.standing.occurrences import Chain, Presence
from reasoning.standing.requests import (
    PEOPLE,
    CancelRequest,
    ListRequest,
    StandingRequest,
    Unwatchable,
    WatchRequest,
    is_name,
)
from stream.clock import NS_PER_MS, NS_PER_S, Clock
from stream.errors import PromptError
from stream.geometry import mask_box

SOON_NS = 300 * NS_PER_MS  # from a look to the one that decides, and between any two
MINUTE_NS = 60 * NS_PER_S

PointAt = Callable[[], GroundedRegion]  # what the wearer points at; raises PromptError


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What comes of a wearer's words about standing questions, before it is so."""

    text: str  # said
    request: WatchRequest | None = None  # to be taken
    shown: GroundedRegion | None = None  # what was pointed at
    looks: torch.Tensor | None = None  # [C] of it
    remove: tuple[int, ...] = ()  # ids of watches that end


@dataclass(frozen=True, slots=True, eq=False)
class Alarm:
    """A standing question has come true."""

    watch: Watch
    text: str  # said
    spot: SpottedThing  # without a place for what was not seen
    silent: str = ""  # why it is not spoken; empty where it is


@dataclass(slots=True, eq=False)
class _Progress:
    """What a session has seen of one watch."""

    chain: Chain
    leaving: Leaving = field(default_factory=Leaving)


class StandingQuestions:
    """What one session watches for; bounded by the settings."""

    def __init__(
        self,
        spotter: Spotter,
        settings: StandingSettings | None = None,
        book: WatchBook | None = None,
        owner: str = "",
        wall: Clock | None = None,
    ) -> None:
        """`wall` tells Unix time for the quiet hours; without it there are none."""
        self._spotter, self._settings = spotter, settings or StandingSettings()
        self._book, self._owner, self._wall = book or WatchBook(), owner, wall
        self._progress = {one.id: _begun(one.request) for one in self._book.of(owner)}
        self._looked_ns: int | None = None
        self._told: deque[int] = deque(maxlen=max(1, self._settings.alerts_per_minute))
        self.looks = 0

    @property
    def watches(self) -> tuple[Watch, ...]:
        """All of this session, the oldest first."""
        return tuple(one for one in self._book.of(self._owner) if one.id in self._progress)

    def plan(
        self,
        request: StandingRequest,
        text: str,
        watches: Sequence[Watch],
        now: Moment,
        point_at: PointAt,
    ) -> Plan:
        """What comes of a request with these watches, in any thread; nothing changes yet."""
        if isinstance(request, Unwatchable):
            return Plan(request.reason)
        if isinstance(request, ListRequest):
            return Plan(wording.listing([one.request for one in watches]))
        if isinstance(request, CancelRequest):
            meant = [one for one in watches if wording.means(one.request, request.thing)]
            said = wording.stopped([one.request for one in meant], request.thing)
            return Plan(said, remove=tuple(one.id for one in meant))
        if len(watches) >= self._settings.max_watches:
            return Plan(wording.full(self._settings.max_watches))
        if request.kind == "again":
            return _shown(request, now, point_at)
        return self._worded(request, text, watches)

    def commit(self, plan: Plan, text: str, track_id: int | None = None) -> bool:
        """Let a plan come true; whether the list has changed. Raises OutputError where that cannot
        be kept on disk: it holds for this session all the same.
        """
        if plan.request is None and not plan.remove:
            return False
        if plan.request is not None:
            looks = plan.looks
            watch = self._book.add(self._owner, plan.request, text, looks, track_id)
            self._progress[watch.id] = _begun(plan.request)
        self.remove(plan.remove)
        return True

    def remove(self, ids: Sequence[int]) -> None:
        """Watch for these no longer; raises OutputError as `commit` does."""
        for one in ids:
            self._progress.pop(one, None)
        self._book.remove(self._owner, tuple(ids))
        self._book.save()

    def due(self, pts_ns: int, keyframe: bool) -> bool:
        """Whether to look at a frame of this stream time."""
        if not self._progress:
            return False
        if self._looked_ns is None or pts_ns < self._looked_ns:
            return True  # the first one, or the clock went back
        since_ns = pts_ns - self._looked_ns
        soon = keyframe or any(self._suspects(one) for one in self._progress.values())
        every_ns = round(self._settings.look_every_s * NS_PER_S)
        return since_ns >= (min(SOON_NS, every_ns) if soon else every_ns)

    def look(self, now: Moment, detections: Sequence[Detection]) -> list[Alarm]:
        """What has come true with this frame; those that are told once are to be removed."""
        self._looked_ns = now.frame.pts_ns
        self.looks += 1
        spots: dict[str, SpottedThing] = {}  # each thing is looked for once
        found = [self._step(one, now, detections, spots) for one in self.watches]
        return [one for one in found if one is not None]

    def _step(
        self,
        watch: Watch,
        now: Moment,
        detections: Sequence[Detection],
        spots: dict[str, SpottedThing],
    ) -> Alarm | None:
        progress, request, at_ns = self._progress[watch.id], watch.request, now.frame.pts_ns
        for thing in request.things:
            if thing not in spots:
                spots[thing] = self._spotter.spot(thing, now.frame.image, detections)
        own = [spots[thing] for thing in request.things]
        if request.kind == "again":
            assert watch.looks is not None  # a book holds no other
            track_id, looks = watch.track_id, watch.looks
            own = [self._spotter.again(looks, track_id, now.features, now.regions, detections)]
        probabilities = tuple(one.probability for one in own)
        progress.chain, complete = progress.chain.step(at_ns, probabilities, self._settings.sure)
        if request.kind == "leave":
            return self._leave(watch, progress, now)
        return self._alarm(watch, own[-1], now, own) if complete else None

    def _leave(self, watch: Watch, progress: _Progress, now: Moment) -> Alarm | None:
        at_ns, since_ns = now.frame.pts_ns, progress.leaving.away_ns
        progress.leaving, left = progress.leaving.step(at_ns, place_of(now))
        presence = progress.chain.presences[0]
        brought = presence.here or (presence.seen_ns is not None and presence.seen_ns >= since_ns)
        return self._alarm(watch, NOWHERE, now, ()) if left and not brought else None

    def _alarm(
        self, watch: Watch, spot: SpottedThing, now: Moment, own: Sequence[SpottedThing]
    ) -> Alarm:
        things = watch.request.things
        names = [one.name or thing for one, thing in zip(own, things, strict=False)] or things
        place = "" if spot.box is None else where_box(spot.box, now.frame.size)
        text = wording.seen(watch.request, [*names], place)
        return Alarm(watch, text, spot, self._silent(now.frame.pts_ns))

    def _silent(self, at_ns: int) -> str:
        """Why an alarm is not spoken now."""
        if self._wall is not None and self._settings.quiet:
            local = datetime.fromtimestamp(self._wall.now_ns() / NS_PER_S).astimezone()
            if self._settings.is_quiet(local.hour * 60 + local.minute):
                return "quiet hours"
        recent = [one for one in self._told if 0 <= at_ns - one < MINUTE_NS]
        if len(recent) >= self._settings.alerts_per_minute:
            return "too many in a minute"
        self._told.append(at_ns)
        return ""

    def _suspects(self, progress: _Progress) -> bool:
        return progress.chain.suspected(self._settings.sure) or progress.leaving.going

    def _worded(self, request: WatchRequest, text: str, watches: Sequence[Watch]) -> Plan:
        wider = []
        for thing in request.things:
            sees, name = self._spotter.sees(thing)
            if is_name(thing, text) and (sees != "exactly" or self._spotter.any_words):
                return Plan(PEOPLE.format(thing))
            if sees == "no":
                return Plan(wording.unseen(thing, len(EVERYDAY) * self._spotter.detects))
            wider += [name] if sees == "as" else []
        if any(one.request == request for one in watches):
            return Plan(f"I am watching for {wording.told_of(request)} already.")
        return Plan(wording.taken(request, wider), request)


def place_of(now: Moment) -> Descriptor:
    """[C] what the whole picture looks like, at unit length."""
    mean = now.features.top.float().mean(dim=(1, 2)).cpu().numpy()
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-6), np.float32)


def alarm_data(alarm: Alarm) -> Mapping[str, object]:
    """An alarm as JSON values, without its region."""
    return {
        "id": alarm.watch.id,
        "asked": alarm.watch.text,
        "kind": alarm.watch.request.kind,
        "text": alarm.text,
        "score": round(alarm.spot.probability, 4),
        "done": not alarm.watch.request.repeats,
        "silent": alarm.silent or None,
    }


def _shown(request: WatchRequest, now: Moment, point_at: PointAt) -> Plan:
    try:
        region = point_at()
    except PromptError as error:
        return Plan(f"I do not see what you mean: {error}")
    looks = described(now.features, region.mask)
    if not bool(looks.any()) or mask_box(region.mask) is None:
        return Plan("I do not see what you mean; point at it and say it again.")
    return Plan(wording.taken(request, ()), request, region, looks)


def _begun(request: WatchRequest) -> _Progress:
    """What is pointed at is there now: it has to go before it can come again."""
    count = max(1, len(request.things))
    return _Progress(Chain(tuple(Presence(here=request.kind == "again") for _ in range(count))))
