"""The masklets a session keeps alive: a few at once, the least useful one gives way."""

from dataclasses import dataclass, replace

from perception.backbone import Features
from perception.tracker import Tracker, TrackerState
from stream.errors import PromptError
from stream.events import Region
from stream.frame import Frame, Mask
from stream.masks import decode_mask, encode_mask, mask_box, mask_iou

SAME_THING_IOU = 0.4  # a region that covers a live masklet this much is the same thing


@dataclass(slots=True)
class _Life:
    """What is known of one masklet."""

    seen_ns: int  # when it was last in view
    asked: bool  # an answer spoke of it, so it outlives seeds


class LiveMasklets:
    """At most `limit` masklets; their state is bounded whatever the stream's length."""

    def __init__(self, tracker: Tracker, limit: int) -> None:
        self._tracker = tracker
        self._limit = limit
        self._state: TrackerState = tracker.init_state()
        self._lives: dict[int, _Life] = {}

    @property
    def live(self) -> int:
        """How many are kept."""
        return len(self._lives)

    @property
    def room(self) -> bool:
        """Whether another may start without one giving way."""
        return len(self._lives) < self._limit

    def step(self, frame: Frame, features: Features) -> tuple[Region, ...]:
        """Carry all to this frame: one region each, without a box while out of view."""
        self._state, regions = self._tracker.step(self._state, frame, features)
        for region in regions:
            if region.box is not None:
                self._lives[region.track_id].seen_ns = frame.pts_ns
        return regions

    def seed(self, frame: Frame, features: Features, mask: Mask) -> Region | None:
        """Start one for a thing that stands out, if there is room."""
        if not self.room:
            return None
        return self._start(frame, features, mask, asked=False)

    def follow(
        self, frame: Frame, features: Features, region: Region, shown: tuple[Region, ...]
    ) -> Region:
        """The masklet of a region an answer names: a live one that covers it, or a new one.

        `shown` are the masklets' regions in this frame. Raises PromptError for an unusable mask.
        With a limit of 0 nothing is followed and the region comes back as it is.
        """
        if self._limit < 1:
            return region
        if region.track_id in self._lives:
            self._lives[region.track_id].asked = True
            return region
        mask = decode_mask(region.mask)
        if mask.shape != frame.size or not mask.any():
            raise PromptError(
                f"expected a mask with pixels of the frame's size {frame.size}, "
                f"got {region.mask.area} pixels of {mask.shape}"
            )
        for other in shown:
            same = other.box is not None and mask_iou(mask, decode_mask(other.mask))
            if other.track_id in self._lives and same >= SAME_THING_IOU:
                self._lives[other.track_id].asked = True
                return replace(region, track_id=other.track_id)
        if not self.room:
            self._drop_least()
        started = self._start(frame, features, mask, asked=True)
        return replace(region, track_id=started.track_id)

    def _start(self, frame: Frame, features: Features, mask: Mask, asked: bool) -> Region:
        self._state, track_id = self._tracker.add(self._state, frame, features, mask)
        self._lives[track_id] = _Life(frame.pts_ns, asked)
        return Region(track_id, frame.pts_ns, encode_mask(mask), mask_box(mask), 1.0)

    def _drop_least(self) -> None:
        """Forget the one nobody asked for, longest out of view, oldest."""

        def use(track_id: int) -> tuple[bool, int, int]:
            life = self._lives[track_id]
            return life.asked, life.seen_ns, track_id

        least = min(self._lives, key=use)
        self._state = self._tracker.remove(self._state, least)
        del self._lives[least]
