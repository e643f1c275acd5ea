"""The masklets a session keeps alive: a few at once, the least useful one gives way.

A masklet is what it looks like. After a cut, once a second, and when it comes back into view, each
one is compared with its own appearance; one that slid onto something else is sought again (or taken
out, where the tracker cannot seek); a thing that comes back gets its old id again.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from foveal.session.late_masks import Carried, Carrier, LateRegion, Moment, covering
from foveal.session.mask_tracker import Adopting, Doubting, LookingAhead, MaskTracker
from perception.features.backbone import Features
from perception.reid.reidentifier import AppearanceModel, ReIdentifier, described
from stream.clock import NS_PER_S
from stream.events import Region
from stream.frame import Frame, Mask
from stream.geometry import decode_mask, encode_mask, mask_box

CHECK_NS = NS_PER_S  # each is compared with itself at least this often, in stream time
MAX_REMEMBERED = 32  # masklets out of view that may still be recognised
MAX_NAMES = 64


@dataclass(slots=True, eq=False)
class _Life:
    """What is known of one masklet."""

    inner: int  # the tracker's id
    appearance: AppearanceModel  # when it was started
    seen_ns: int  # when it was last in view
    asked: bool  # an answer spoke of it, so it outlives seeds
    here: bool = True  # in view, in the last frame


class LiveMasklets:
    """At most `limit` masklets; their state is bounded whatever the stream's length."""

    def __init__(self, tracker: MaskTracker, limit: int) -> None:
        self._tracker = tracker
        self.carrier = Carrier(tracker)
        self._limit = limit
        self._reid = ReIdentifier()
        self._state: Any = tracker.init_state()
        self._lives: dict[int, _Life] = {}  # by the masklet's own id
        self._gone: dict[int, AppearanceModel] = {}  # oldest first
        self._names: dict[int, str] = {}  # oldest first
        self._next_id = 1
        self._checked_ns = 0
        self._shown = 0  # frames that were looked ahead at, or might have been

    @property
    def live(self) -> int:
        """How many are kept."""
        return len(self._lives)

    @property
    def room(self) -> bool:
        """Whether another may start without one giving way."""
        return len(self._lives) < self._limit

    def step(self, frame: Frame, features: Features, cut: bool = False) -> tuple[Region, ...]:
        """Carry all to this frame: one region each, without a box while out of view.

        Those that no longer look like themselves are out of view.
        """
        self._state, regions = self._tracker.step(self._state, frame, features)
        owners = {life.inner: own for own, life in self._lives.items()}
        regions = tuple(replace(region, track_id=owners[region.track_id]) for region in regions)
        back = {region.track_id for region in regions if self._came_back(region)}
        for region in regions:
            self._lives[region.track_id].here = region.box is not None
        if cut or not 0 <= frame.pts_ns - self._checked_ns < CHECK_NS:
            self._checked_ns = frame.pts_ns
            back = set(self._lives)
        true = tuple(self._true(features, one) if one.track_id in back else one for one in regions)
        true = tuple(region for region in true if region.track_id in self._lives)
        for region in true:
            if region.box is not None:
                self._lives[region.track_id].seen_ns = frame.pts_ns
        return true

    def call(self, track_id: int, name: str, anew: bool = True) -> None:
        """What a masklet is called from now on; not `anew`: unless it has a name."""
        if track_id in self._lives and name and (anew or track_id not in self._names):
            self._names[track_id] = name
            while len(self._names) > MAX_NAMES:
                del self._names[next(iter(self._names))]

    def named(self, regions: Iterable[Region]) -> tuple[Region, ...]:
        """The same regions with what their masklets are called."""
        return tuple(replace(one, name=self._names.get(one.track_id, "")) for one in regions)

    def look_ahead(self, frame: Frame, at_once: bool = False) -> None:
        """Every frame that `step` will be given soon; from a thread of its own, if wanted.

        `at_once`: it is given next, so a frame in which nothing is followed needs no look. A
        stream without a look ahead thus renews its masks at the same frames as one with it.
        """
        tracker = self._tracker
        if not (isinstance(tracker, LookingAhead) and self._limit and tracker.look_every):
            return
        # Else not asked: whether anything is followed now. That would depend on how far `step` is.
        self._shown += 1
        if self._shown % tracker.look_every == 0 and (self._lives or not at_once):
            tracker.look_ahead(frame)

    def _came_back(self, region: Region) -> bool:
        return region.box is not None and not self._lives[region.track_id].here

    def _true(self, features: Features, region: Region) -> Region:
        """A region that looks like its masklet; else out of view, to be sought again, or ended."""
        life = self._lives[region.track_id]
        if region.box is None or life.appearance.blank:
            return region
        shown = described(features, decode_mask(region.mask))
        if not self._reid.is_other(life.appearance.likeness(shown)):
            return region
        if not isinstance(self._tracker, Doubting):
            self._forget(region.track_id)
            return region
        self._state = self._tracker.doubt(self._state, life.inner)
        life.here = False
        blank = np.zeros(region.mask.size, bool)
        return replace(region, mask=encode_mask(blank), box=None, score=0.0)

    def seed(self, frame: Frame, features: Features, mask: Mask) -> Region | None:
        """Start one for a thing that stands out, if there is room."""
        if not self.room:
            return None
        own = self._start(Moment(frame, features, ()), mask, asked=False)
        return Region(own, frame.pts_ns, encode_mask(mask), mask_box(mask), 1.0)

    def follow(self, region: Region, now: Moment) -> Region:
        """The masklet of a region that an answer names in this frame: a live one or a new one.

        Raises PromptError for an unusable mask. With a limit of 0 nothing is followed and the
        region comes back as it is.
        """
        if self._limit < 1:
            return region
        known = self._known(region, now)
        if known is None:
            self._make_room()
            known = self._start(now, decode_mask(region.mask), asked=True)
        return replace(region, track_id=known)

    def follow_late(self, late: LateRegion, now: Moment) -> tuple[Region, Region | None]:
        """The same for a region of an earlier frame: it, and where its new masklet is now, if any.

        What was a live masklet in that frame is so still. A new one is carried to the present
        first. Raises PromptError for an unusable mask.
        """
        region, asked = late.region, late.asked
        if self._limit < 1:
            return region, None
        known = self._known(region, asked)
        if known is None:
            mask = decode_mask(region.mask)
            carried = late.carried or self.carrier.start(asked, mask)
            carried = self.carrier.to_now(carried, late.trail, now)
            here = replace(carried.region, track_id=0)
            if here.box is not None:
                known = self._known(here, now)  # it was started on its own meanwhile
            if known is None:
                return self._take_up(late, carried, now, described(asked.features, mask))
        return replace(region, track_id=known), None

    def _take_up(
        self, late: LateRegion, carried: Carried, now: Moment, looks: Tensor
    ) -> tuple[Region, Region | None]:
        """Start a masklet from what was carried to this frame."""
        tracker, here = self._tracker, carried.region
        if not isinstance(tracker, Adopting) and here.box is None:
            return late.region, None  # nothing to start from
        self._make_room()
        if isinstance(tracker, Adopting):
            self._state, inner = tracker.adopt(self._state, carried.state, carried.inner)
        else:
            self._state, inner = tracker.add(self._state, *now.station, decode_mask(here.mask))
        own = self._begin(inner, now.frame.pts_ns, looks, asked=True)
        self._lives[own].here = here.box is not None
        # It may have slid onto something else on the way.
        here = self._true(now.features, replace(here, track_id=own))
        if own not in self._lives:
            return late.region, None
        return replace(late.region, track_id=own), here

    def _known(self, region: Region, moment: Moment) -> int | None:
        """The live masklet that a region of a frame is; it is kept as asked for from now on."""
        known: int | None = region.track_id
        if known not in self._lives:
            live = [one for one in moment.regions if one.track_id in self._lives]
            known = covering(region, replace(moment, regions=tuple(live)))
        if known is not None:
            self._lives[known].asked = True
        return known

    def _start(self, now: Moment, mask: Mask, asked: bool) -> int:
        self._state, inner = self._tracker.add(self._state, *now.station, mask)
        return self._begin(inner, now.frame.pts_ns, described(now.features, mask), asked)

    def _begin(self, inner: int, pts_ns: int, looks: Tensor, asked: bool) -> int:
        """A life for what the tracker follows from now on, which looks like that; its id."""
        own = self._reid.recognised(self._gone, looks)
        if own is None:
            own, self._next_id = self._next_id, self._next_id + 1
        self._gone.pop(own, None)
        self._lives[own] = _Life(inner, AppearanceModel(looks[None]), pts_ns, asked)
        return own

    def _make_room(self) -> None:
        if not self.room:
            self._drop_least()

    def _drop_least(self) -> None:
        """Take out the one nobody asked for, longest out of view, oldest."""

        def use(own: int) -> tuple[bool, int, int]:
            life = self._lives[own]
            return life.asked, life.seen_ns, own

        self._forget(min(self._lives, key=use))

    def _forget(self, own: int) -> None:
        """Stop tracking one; what it looks like is remembered for a while."""
        life = self._lives.pop(own)
        self._state = self._tracker.remove(self._state, life.inner)
        if not life.appearance.blank:
            self._gone[own] = life.appearance
        while len(self._gone) > MAX_REMEMBERED:
            del self._gone[next(iter(self._gone))]
