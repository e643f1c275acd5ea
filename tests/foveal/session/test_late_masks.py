"""Masks of an earlier frame: carried to the present, and the live state takes them over."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foveal.session.late_masks import DENSE, MAX_STATIONS, Carrier, LateRegion, Moment, Trail
from foveal.session.masklets import LiveMasklets
from perception.features.backbone import Backbone, Features
from perception.tracking.tracker import EmbeddedTracker, TrackerState
from stream.clock import NS_PER_MS
from stream.errors import PromptError
from stream.events import Region
from stream.frame import Frame, Mask
from stream.geometry import decode_mask, encode_mask, mask_box, mask_iou
from tests.doubles.perception import FakeTracker, fake_features
from tests.perception.rendered import SIZE, cat, compose, face

LATE = 12  # frames that an answer takes, all of them kept


def region(mask: Mask, track_id: int = 0) -> Region:
    return Region(track_id, 0, encode_mask(mask), mask_box(mask), 0.5)


def clip(backbone: Backbone, count: int) -> tuple[list[Moment], list[Mask]]:
    """A face that drifts beside a cat that stays, in a view that moves a little."""
    moments, masks = [], []
    for n in range(count):
        places = ((60.0 + 3 * n, 72.0), (200.0, 90.0))
        frame, (mask, _) = compose((face(), cat()), places, 30 * n * NS_PER_MS, shift=n // 3)
        moments.append(Moment(frame, backbone.features(frame.image), ()))
        masks.append(mask)
    return moments, masks


def passed(moments: list[Moment]) -> Trail:
    trail = Trail()
    for moment in moments:
        trail.passes(*moment.station)
    return trail


@given(st.integers(0, 400), st.integers(0, 400))
def test_whether_a_frame_is_kept_depends_on_its_place_alone(few: int, more: int) -> None:
    frame, _ = compose((), (), 0)
    kept = []
    for count in (few, few + more):
        trail, places = Trail(), list[int]()
        for number in range(count):
            places += [number] if trail.wants else []
            trail.passes(frame, fake_features(SIZE))
        assert len(trail.stations) == len(places) <= MAX_STATIONS
        assert places[:DENSE] == list(range(min(count, DENSE)))
        kept.append(places)
    assert kept[1][: len(kept[0])] == kept[0]


def test_a_mask_that_comes_late_lies_where_it_would_have_lain(random_backbone: Backbone) -> None:
    """To the pixel: it was carried through every frame, and its memory is the same."""
    moments, masks = clip(random_backbone, LATE + 8)
    asked = region(masks[0])
    soon, late = (LiveMasklets(EmbeddedTracker(random_backbone), 2) for _ in range(2))
    soon.follow(asked, moments[0])
    for moment in moments[1 : LATE + 1]:
        soon.step(*moment.station)
        late.step(*moment.station)
    carried = late.carrier.start(moments[0], masks[0])
    carried = late.carrier.onwards(carried, passed(moments[1:5]).stations)
    trail = passed(moments[1 : LATE + 1]).stations
    named, here = late.follow_late(LateRegion(asked, moments[0], trail, carried), moments[LATE])
    assert here is not None
    assert (named.track_id, named.mask) == (1, asked.mask)  # of the asked frame still
    assert (here.track_id, here.pts_ns) == (1, moments[LATE].frame.pts_ns)
    for moment in moments[LATE + 1 :]:
        (one,), (other,) = (each.step(*moment.station) for each in (soon, late))
        assert one.mask == other.mask and one.track_id == other.track_id == 1


def test_a_mask_that_comes_late_lies_on_its_thing(trained_backbone: Backbone) -> None:
    """A jump over the same frames would be one step of the tracker; carried, it stays true."""
    moments, masks = clip(trained_backbone, LATE + 6)
    masklets = LiveMasklets(EmbeddedTracker(trained_backbone), 2)
    late = LateRegion(region(masks[0]), moments[0], passed(moments[1 : LATE + 1]).stations)
    _, here = masklets.follow_late(late, moments[LATE])
    assert here is not None and mask_iou(decode_mask(here.mask), masks[LATE]) > 0.8
    for moment, mask in zip(moments[LATE + 1 :], masks[LATE + 1 :], strict=True):
        (one,) = masklets.step(*moment.station)
        assert mask_iou(decode_mask(one.mask), mask) > 0.75


def test_what_was_followed_then_is_so_still(random_backbone: Backbone) -> None:
    moments, masks = clip(random_backbone, 4)
    masklets = LiveMasklets(EmbeddedTracker(random_backbone), 2)
    seed = masklets.seed(*moments[0].station, masks[0])
    assert seed is not None
    asked = replace(moments[0], regions=(seed,))
    shown: tuple[Region, ...] = ()
    for moment in moments[1:]:
        shown = masklets.step(*moment.station)
    now = replace(moments[3], regions=shown)
    for one in (region(masks[0]), region(masks[0], seed.track_id)):
        named, here = masklets.follow_late(LateRegion(one, asked, ()), now)
        assert (named.track_id, here, masklets.live) == (1, None, 1)


def test_what_was_started_meanwhile_is_not_started_again(trained_backbone: Backbone) -> None:
    moments, masks = clip(trained_backbone, 4)
    masklets = LiveMasklets(EmbeddedTracker(trained_backbone), 2)
    seed = masklets.seed(*moments[3].station, masks[3])
    assert seed is not None
    now = replace(moments[3], regions=(seed,))
    trail = passed(moments[1:4]).stations
    named, here = masklets.follow_late(LateRegion(region(masks[0]), moments[0], trail), now)
    assert (named.track_id, here, masklets.live) == (1, None, 1)


class JumpingTracker(FakeTracker):
    """Counts its steps, each in a state of its own."""

    steps = 0

    def step(
        self, state: TrackerState, frame: Frame, features: Features | None = None
    ) -> tuple[TrackerState, tuple[Region, ...]]:
        """One more."""
        self.steps += 1
        return super().step(state, frame, features)


@pytest.mark.parametrize("away", [False, True])
def test_another_tracker_goes_to_the_present_in_one_step(
    random_backbone: Backbone, away: bool
) -> None:
    moments, masks = clip(random_backbone, 6)
    tracker = JumpingTracker()
    masklets = LiveMasklets(tracker, 1)
    assert not Carrier(tracker).beside
    tracker.hidden = {1} if away else set()
    trail = passed(moments[1:]).stations
    named, here = masklets.follow_late(LateRegion(region(masks[0]), moments[0], trail), moments[5])
    assert tracker.steps == 1
    assert named.track_id == masklets.live == (0 if away else 1)
    assert (here is None) == away


@pytest.mark.parametrize("mask", [np.zeros(SIZE, bool), np.ones((4, 4), bool)])
def test_an_unusable_mask_is_refused(random_backbone: Backbone, mask: Mask) -> None:
    moments, _ = clip(random_backbone, 2)
    masklets = LiveMasklets(EmbeddedTracker(random_backbone), 1)
    with pytest.raises(PromptError, match="expected a mask"):
        masklets.follow_late(LateRegion(region(mask), moments[0], ()), moments[1])
    assert masklets.live == 0


def test_adopting_takes_one_masklet_and_no_more_than_fit(random_backbone: Backbone) -> None:
    moments, masks = clip(random_backbone, 1)
    tracker = EmbeddedTracker(random_backbone)
    other, inner = tracker.carrier().add(tracker.init_state(), *moments[0].station, masks[0])
    state, first = tracker.adopt(tracker.init_state(), other, inner)
    state, second = tracker.adopt(state, other, inner)
    assert (first, second) == (1, 2) and [one.track_id for one in state.tracks] == [1, 2]
    with pytest.raises(PromptError, match="masklet 9"):
        tracker.adopt(state, other, 9)
