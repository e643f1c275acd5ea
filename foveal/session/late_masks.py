"""Masks that come late: an answer names a thing of the frame it was asked about, and the stream has
gone on since.

The mask is true on the asked frame alone. So some of the frames since then are kept, and it is
carried through them in a state of its own, most of the way beside the stream, in the thread that
answers; then the live state takes it over. A jump to the present at once is cheaper and loses the
thing: measured on DAVIS at 8 fps with answers one second late, mean J afterwards is .76 when it is
carried through every frame, as when followed at once, and .68 to .69 after a jump.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from foveal.session.mask_tracker import Adopting, MaskTracker
from perception.features.backbone import Features
from stream.errors import PromptError
from stream.events import Region
from stream.frame import Frame, Mask
from stream.geometry import decode_mask, encode_mask, mask_box, mask_iou

SAME_THING_IOU = 0.4  # a region that covers a live masklet this much is the same thing
DENSE = 16  # frames after the asked one of which all are kept; of later ones fewer and fewer
MAX_STATIONS = 32  # of one question: the first 96 frames; from there it is one step

Station = tuple[Frame, Features]


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """A frame with the masklets in it."""

    frame: Frame
    features: Features
    regions: tuple[Region, ...]

    @property
    def station(self) -> Station:
        """The frame without them."""
        return self.frame, self.features


@dataclass(slots=True, eq=False)
class Trail:
    """Frames that came after a question, for a mask to be carried through.

    Whether a frame is kept depends on its place alone, so it makes no difference how far the stream
    is when a mask is carried. One thread adds, another may read.
    """

    stations: list[Station] = field(default_factory=list)
    passed: int = 0  # frames since the question

    @property
    def wants(self) -> bool:
        """Whether the next frame is to be kept."""
        number = self.passed + 1
        stride = 1 << max(0, (number - 1) // DENSE).bit_length()
        return number % stride == 0 and len(self.stations) < MAX_STATIONS

    def passes(self, frame: Frame, features: Features | None) -> None:
        """One more frame; its features are needed where it is wanted."""
        if self.wants and features is not None:
            self.stations.append((frame, features))
        self.passed += 1


@dataclass(frozen=True, slots=True, eq=False)
class Carried:
    """A mask on its way to the present."""

    state: Any  # the carrier's
    inner: int  # its id there
    region: Region  # where it is now
    done: int = 0  # stations that it was carried through


@dataclass(frozen=True, slots=True, eq=False)
class LateRegion:
    """A region that an answer names, of the frame it was asked about."""

    region: Region
    asked: Moment
    trail: Sequence[Station]
    carried: Carried | None = None  # as far as it is by now; None: not begun


class Carrier:
    """Carries masks beside the stream. Keeps no state; any thread may use it."""

    def __init__(self, tracker: MaskTracker) -> None:
        self._adopting = isinstance(tracker, Adopting)
        self._tracker = tracker.carrier() if isinstance(tracker, Adopting) else tracker

    @property
    def beside(self) -> bool:
        """Whether it may run beside the stream, through all frames.

        Other trackers share buffers with the live state, or take long for a frame, and remember
        well over a jump (SAM 2): they go to the present in one step, in the stream's own thread.
        """
        return self._adopting

    def start(self, moment: Moment, mask: Mask) -> Carried:
        """From the frame that the mask belongs to; raises PromptError for an unusable mask."""
        state, inner = self._tracker.add(self._tracker.init_state(), *moment.station, mask)
        pts_ns = moment.frame.pts_ns
        return Carried(state, inner, Region(inner, pts_ns, encode_mask(mask), mask_box(mask), 1.0))

    def onwards(self, carried: Carried, stations: Sequence[Station]) -> Carried:
        """Through what it was not carried through yet."""
        state, region = carried.state, carried.region
        for station in stations[carried.done :]:
            state, (region,) = self._tracker.step(state, *station)
        return Carried(state, carried.inner, region, len(stations))

    def to_now(self, carried: Carried, stations: Sequence[Station], now: Moment) -> Carried:
        """To the present frame, through all of them or at one step."""
        if self.beside:
            carried = self.onwards(carried, stations)
            if stations and stations[-1][0] is now.frame:
                return carried
        state, (region,) = self._tracker.step(carried.state, *now.station)
        return Carried(state, carried.inner, region, carried.done)


def covering(region: Region, moment: Moment) -> int | None:
    """The masklet of a frame that a region of it lies on.

    Raises PromptError for a mask of another size, or without pixels.
    """
    mask, size = decode_mask(region.mask), moment.frame.size
    if mask.shape != size or not mask.any():
        raise PromptError(
            f"expected a mask with pixels of the frame's size {size}, "
            f"got {region.mask.area} pixels of {mask.shape}"
        )
    for other in moment.regions:
        if other.box is not None and mask_iou(mask, decode_mask(other.mask)) >= SAME_THING_IOU:
            return other.track_id
    return None
