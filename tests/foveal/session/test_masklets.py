"""Masklets kept alive: never more than the limit, and the least useful one gives way."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foveal.session.late_masks import Moment
from foveal.session.masklets import MAX_REMEMBERED, LiveMasklets
from perception.features.backbone import Features
from perception.tracking.tracker import TrackerState
from stream.clock import NS_PER_S
from stream.errors import PromptError
from stream.events import Region
from stream.frame import Frame, Mask
from stream.geometry import encode_mask, mask_box
from tests.doubles.perception import FakeTracker, fake_features

SIZE = (48, 64)
FEATURES = fake_features(SIZE)


def frame(pts_ns: int = 0) -> Frame:
    return Frame(pts_ns, pts_ns, np.zeros((*SIZE, 3), np.uint8), "test")


def square(column: int, row: int = 0, side: int = 8) -> Mask:
    mask = np.zeros(SIZE, bool)
    mask[8 * row : 8 * row + side, 8 * column : 8 * column + side] = True
    return mask


def region(mask: Mask, track_id: int = 0, pts_ns: int = 0) -> Region:
    return Region(track_id, pts_ns, encode_mask(mask), mask_box(mask), 0.5)


def make(limit: int) -> tuple[LiveMasklets, FakeTracker]:
    tracker = FakeTracker()
    return LiveMasklets(tracker, limit), tracker


def test_seeds_start_until_there_is_no_room() -> None:
    masklets, tracker = make(2)
    started = [masklets.seed(frame(), FEATURES, square(n)) for n in range(4)]
    assert [one.track_id if one else None for one in started] == [1, 2, None, None]
    assert masklets.live == 2 and not masklets.room
    assert list(tracker.masks) == [1, 2]


def test_a_new_region_gets_a_masklet_of_its_own() -> None:
    masklets, _ = make(2)
    followed = masklets.follow(region(square(3)), Moment(frame(7), FEATURES, ()))
    assert followed.track_id == 1
    assert followed.score == 0.5 and followed.mask == encode_mask(square(3))


def test_a_region_of_a_live_masklet_is_kept() -> None:
    masklets, tracker = make(2)
    seed = masklets.seed(frame(), FEATURES, square(0))
    assert seed is not None
    assert masklets.follow(seed, Moment(frame(), FEATURES, ())) == seed
    assert list(tracker.masks) == [1]


@pytest.mark.parametrize(("side", "track_id"), [(8, 1), (6, 1), (4, 2)])
def test_a_region_that_covers_a_live_masklet_is_that_one(side: int, track_id: int) -> None:
    """IoU 1 and 36/64 are the same thing, 16/64 is another."""
    masklets, _ = make(2)
    masklets.seed(frame(), FEATURES, square(0))
    shown = masklets.step(frame(1), FEATURES)
    followed = masklets.follow(region(square(0, side=side)), Moment(frame(1), FEATURES, shown))
    assert followed.track_id == track_id


def test_a_hidden_masklet_is_not_what_a_region_covers() -> None:
    masklets, tracker = make(2)
    masklets.seed(frame(), FEATURES, square(0))
    tracker.hidden = {1}
    shown = masklets.step(frame(1), FEATURES)
    assert shown[0].box is None
    assert masklets.follow(region(square(0)), Moment(frame(1), FEATURES, shown)).track_id == 2


def test_seeds_give_way_before_what_was_asked_for() -> None:
    masklets, tracker = make(2)
    masklets.follow(region(square(0)), Moment(frame(0), FEATURES, ()))  # 1, asked
    masklets.seed(frame(1), FEATURES, square(1))  # 2, newer, but nobody asked
    masklets.follow(region(square(2)), Moment(frame(2), FEATURES, ()))
    assert list(tracker.masks) == [1, 3]


def test_a_seed_that_is_asked_for_counts_as_asked() -> None:
    masklets, tracker = make(2)
    first = masklets.seed(frame(0), FEATURES, square(0))
    masklets.seed(frame(1), FEATURES, square(1))
    assert first is not None
    masklets.follow(first, Moment(frame(1), FEATURES, ()))
    masklets.follow(region(square(2)), Moment(frame(2), FEATURES, ()))
    assert list(tracker.masks) == [1, 3]


def test_what_is_longest_out_of_view_gives_way() -> None:
    masklets, tracker = make(3)
    for n in range(3):
        masklets.follow(region(square(n)), Moment(frame(n), FEATURES, ()))
    tracker.hidden = {2}
    masklets.step(frame(10), FEATURES)
    masklets.follow(region(square(5)), Moment(frame(11), FEATURES, ()))
    assert list(tracker.masks) == [1, 3, 4]


def test_of_equals_the_oldest_gives_way() -> None:
    masklets, tracker = make(3)
    for n in range(3):
        masklets.seed(frame(0), FEATURES, square(n))
    masklets.follow(region(square(5)), Moment(frame(0), FEATURES, ()))
    assert list(tracker.masks) == [2, 3, 4]


def test_nothing_is_followed_with_a_limit_of_zero() -> None:
    masklets, tracker = make(0)
    asked = region(square(0))
    assert masklets.follow(asked, Moment(frame(), FEATURES, ())) is asked
    assert masklets.seed(frame(), FEATURES, square(0)) is None
    assert masklets.step(frame(), FEATURES) == () and tracker.masks == {}


@pytest.mark.parametrize("mask", [np.zeros(SIZE, bool), np.ones((4, 4), bool)])
def test_an_unusable_mask_costs_no_masklet(mask: Mask) -> None:
    masklets, tracker = make(1)
    masklets.seed(frame(), FEATURES, square(0))
    with pytest.raises(PromptError, match="expected a mask"):
        masklets.follow(region(mask), Moment(frame(), FEATURES, ()))
    assert list(tracker.masks) == [1] and masklets.live == 1


CALLS = st.lists(
    st.tuples(st.sampled_from(["seed", "follow", "step", "hide"]), st.integers(0, 7)), max_size=30
)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 4), CALLS)
def test_whatever_happens_the_limit_holds(limit: int, calls: list[tuple[str, int]]) -> None:
    masklets, tracker = make(limit)
    shown: tuple[Region, ...] = ()
    for now, (call, number) in enumerate(calls):
        if call == "seed":
            masklets.seed(frame(now), FEATURES, square(number))
        elif call == "follow":
            followed = masklets.follow(region(square(number)), Moment(frame(now), FEATURES, shown))
            assert followed.track_id in tracker.masks
        elif call == "hide":
            tracker.hidden ^= {number}
        else:
            shown = masklets.step(frame(now), FEATURES)
            assert [one.track_id for one in shown] == list(tracker.masks)
        assert masklets.live == len(tracker.masks) <= limit
        assert masklets.room == (masklets.live < limit)


def colours(rgb: tuple[float, float, float]) -> Features:
    """Features whose look is a colour's."""
    top = torch.zeros(1280, 1, 1)
    top[:3, 0, 0] = torch.tensor(rgb)
    return Features(FEATURES.dense, top, SIZE)


def test_after_a_cut_a_masklet_that_slid_is_dropped_and_comes_back_by_its_look() -> None:
    red, blue = colours((1, 0, 0)), colours((0, 0, 1))
    masklets, _ = make(2)
    first = masklets.follow(region(square(0)), Moment(frame(0), red, ()))
    assert [one.track_id for one in masklets.step(frame(1), red, cut=True)] == [first.track_id]
    assert masklets.step(frame(2), blue, cut=True) == ()
    assert masklets.live == 0
    other = masklets.follow(region(square(4)), Moment(frame(3), blue, ()))
    assert other.track_id != first.track_id
    again = masklets.follow(region(square(2)), Moment(frame(4), red, ()))
    assert again.track_id == first.track_id


def test_looks_are_compared_once_a_second_without_a_cut() -> None:
    red, blue = colours((1, 0, 0)), colours((0, 0, 1))
    masklets, _ = make(1)
    masklets.follow(region(square(0)), Moment(frame(0), red, ()))
    assert len(masklets.step(frame(NS_PER_S - 1), blue)) == 1
    assert masklets.step(frame(NS_PER_S), blue) == ()


def test_no_more_than_some_looks_are_remembered() -> None:
    masklets, _ = make(1)
    for number in range(3 * MAX_REMEMBERED):
        features = colours((0, 0, 0))
        features.top[number % 1280, 0, 0] = 1.0
        masklets.follow(region(square(number % 8)), Moment(frame(number), features, ()))
    assert len(masklets._gone) <= MAX_REMEMBERED


class DoubtingTracker(FakeTracker):
    """Its masklets are out of view once they were doubted."""

    def doubt(self, state: TrackerState, track_id: int) -> TrackerState:
        self.hidden.add(track_id)
        return state


def test_a_tracker_that_can_doubt_is_told_and_the_masklet_stays() -> None:
    red, blue = colours((1, 0, 0)), colours((0, 0, 1))
    tracker = DoubtingTracker()
    masklets = LiveMasklets(tracker, 1)
    first = masklets.follow(region(square(0)), Moment(frame(0), red, ()))
    (slid,) = masklets.step(frame(1), blue, cut=True)
    assert (slid.track_id, slid.box, slid.mask.area) == (first.track_id, None, 0)
    assert len(tracker.hidden) == 1


def test_what_comes_back_is_compared_at_once() -> None:
    red, blue = colours((1, 0, 0)), colours((0, 0, 1))
    tracker = DoubtingTracker()
    masklets = LiveMasklets(tracker, 1)
    first = masklets.follow(region(square(0)), Moment(frame(0), red, ()))
    masklets.step(frame(1), blue, cut=True)
    tracker.hidden.clear()
    (other,) = masklets.step(frame(2), blue)
    assert other.box is None
    tracker.hidden.clear()
    (back,) = masklets.step(frame(3), red)
    assert (back.track_id, back.box) == (first.track_id, first.box)


class FarSeeing(FakeTracker):
    """Looks ahead at every third frame."""

    look_every = 3

    def __init__(self) -> None:
        super().__init__()
        self.ahead: list[int] = []

    def look_ahead(self, frame: Frame) -> None:
        self.ahead.append(frame.pts_ns)


def test_the_tracker_looks_ahead_at_every_so_manyth_frame() -> None:
    tracker = FarSeeing()
    masklets = LiveMasklets(tracker, 2)
    for pts_ns in range(1, 8):
        masklets.look_ahead(frame(pts_ns))
    assert tracker.ahead == [3, 6]
    nothing_followed = LiveMasklets(tracker, 0)
    for pts_ns in range(1, 8):
        nothing_followed.look_ahead(frame(pts_ns))
    assert tracker.ahead == [3, 6]
    make(2)[0].look_ahead(frame())  # one that has nothing to make ahead
