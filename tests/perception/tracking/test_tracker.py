"""Masklets: contract, independence, bounded state, and objects that leave and return."""

from dataclasses import fields, is_dataclass

import numpy as np
import pytest
import torch

from perception.features.backbone import Backbone
from perception.tracking.settings import TrackerConfig
from perception.tracking.tracker import EmbeddedTracker, TrackerState
from stream.errors import PromptError
from stream.events import Region
from stream.frame import Frame, Mask
from stream.geometry import decode_mask, mask_box, mask_iou
from tests.perception.rendered import SIZE, cat, compose, face


def state_bytes(value: object) -> int:
    """Bytes of every tensor a state holds; a tensor shared by two fields counts twice."""
    if isinstance(value, torch.Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, np.ndarray):
        return int(value.nbytes)
    if isinstance(value, dict):
        return sum(state_bytes(part) for part in value.values())
    if isinstance(value, tuple | list):
        return sum(state_bytes(part) for part in value)
    if is_dataclass(value):
        return sum(state_bytes(getattr(value, part.name)) for part in fields(value))
    return 0


@pytest.fixture
def tracker(random_backbone: Backbone) -> EmbeddedTracker:
    return EmbeddedTracker(random_backbone)


def _noise(size: tuple[int, int], pts_ns: int = 0) -> Frame:
    image = np.random.default_rng(pts_ns).integers(0, 256, (*size, 3), dtype=np.uint8)
    return Frame(pts_ns, 0, image, "noise")


def _square(size: tuple[int, int] = SIZE) -> Mask:
    mask = np.zeros(size, bool)
    mask[size[0] // 4 : size[0] // 2 + 1, size[1] // 4 : size[1] // 2 + 1] = True
    return mask


def _same(left: Region, right: Region) -> bool:
    return left.mask == right.mask and left.score == pytest.approx(right.score, abs=1e-5)


def test_no_masklets_no_regions(tracker: EmbeddedTracker) -> None:
    state, regions = tracker.step(tracker.init_state(), _noise(SIZE))
    assert regions == ()
    assert state_bytes(state) == 0


def test_regions_keep_id_time_size_and_box(tracker: EmbeddedTracker) -> None:
    frame, (mask,) = compose((face(),), ((80, 70),), 0)
    state, track_id = tracker.add(tracker.init_state(), frame, None, mask)
    later, _ = compose((face(),), ((82, 70),), 33)
    _, (region,) = tracker.step(state, later)
    assert (region.track_id, region.pts_ns, region.mask.size) == (track_id, 33, SIZE)
    assert region.box == mask_box(decode_mask(region.mask))
    assert 0 <= region.score <= 1


def test_bad_masks_are_refused(random_backbone: Backbone) -> None:
    tracker = EmbeddedTracker(random_backbone, TrackerConfig(max_tracks=1))
    state, frame = tracker.init_state(), _noise(SIZE)
    with pytest.raises(PromptError, match="at least one pixel"):
        tracker.add(state, frame, None, np.zeros(SIZE, bool))
    with pytest.raises(PromptError, match="frame's size"):
        tracker.add(state, frame, None, np.ones((3, 5), bool))
    state, _ = tracker.add(state, frame, None, _square())
    with pytest.raises(PromptError, match="at most 1 masklets"):
        tracker.add(state, frame, None, _square())


def test_unknown_masklets_are_not_removed(tracker: EmbeddedTracker) -> None:
    state, track_id = tracker.add(tracker.init_state(), _noise(SIZE), None, _square())
    with pytest.raises(PromptError, match=f"masklets \\[{track_id}\\], got 99"):
        tracker.remove(state, 99)
    assert tracker.step(tracker.remove(state, track_id), _noise(SIZE, 1))[1] == ()


def test_ids_are_never_used_twice(tracker: EmbeddedTracker) -> None:
    frame = _noise(SIZE)
    state, first = tracker.add(tracker.init_state(), frame, None, _square())
    state, second = tracker.add(tracker.remove(state, first), frame, None, _square())
    assert second != first


def test_the_caller_owns_the_state(tracker: EmbeddedTracker) -> None:
    """The same state and frame give the same regions again: nothing is kept in the tracker."""
    frames = [compose((face(),), ((80 + 3 * i, 70),), i) for i in range(4)]
    state, _ = tracker.add(tracker.init_state(), frames[0][0], None, frames[0][1][0])
    state, _ = tracker.step(state, frames[1][0])
    _, (once,) = tracker.step(state, frames[2][0])
    tracker.step(tracker.init_state(), frames[3][0])
    _, (twice,) = tracker.step(state, frames[2][0])
    assert _same(once, twice)


@pytest.mark.assets
def test_adding_and_removing_leaves_the_others_alone(trained_backbone: Backbone) -> None:
    tracker = EmbeddedTracker(trained_backbone)
    pair = (face(), cat())
    clip = [compose(pair, ((60 + 2 * i, 70), (190 - i, 72)), i) for i in range(8)]
    alone, one = tracker.add(tracker.init_state(), clip[0][0], None, clip[0][1][0])
    both = alone
    for index, (frame, masks) in enumerate(clip[1:], 1):
        features = trained_backbone.features(frame.image)
        alone, (solo,) = tracker.step(alone, frame, features)
        both, regions = tracker.step(both, frame, features)
        if index == 3:
            both, other = tracker.add(both, frame, features, masks[1])
        if index == 6:
            both = tracker.remove(both, other)
        ours = next(region for region in regions if region.track_id == one)
        assert mask_iou(decode_mask(ours.mask), decode_mask(solo.mask)) > 0.97


@pytest.mark.assets
def test_moving_objects_are_followed(trained_backbone: Backbone) -> None:
    tracker = EmbeddedTracker(trained_backbone)
    pair = (face(), cat())
    clip = [compose(pair, ((50 + 4 * i, 60 + i), (200 - 2 * i, 85)), i, i) for i in range(16)]
    frame, masks = clip[0]
    state = tracker.init_state()
    ids = []
    for mask in masks:
        state, track_id = tracker.add(state, frame, None, mask)
        ids.append(track_id)
    overlaps = []
    for frame, masks in clip[1:]:
        state, regions = tracker.step(state, frame)
        assert [region.track_id for region in regions] == ids
        found = [decode_mask(region.mask) for region in regions]
        assert not (found[0] & found[1]).any()
        overlaps += [mask_iou(one, two) for one, two in zip(found, masks, strict=True)]
    assert np.mean(overlaps) > 0.85
    assert min(overlaps) > 0.7


@pytest.mark.assets
def test_an_object_that_left_is_found_again_under_its_own_id(trained_backbone: Backbone) -> None:
    tracker = EmbeddedTracker(trained_backbone)
    pair = (cat(), face())
    columns = [*range(90, -60, -15), *[-60] * 12, *range(300, 180, -15)]  # out left, in right
    clip = [compose(pair, ((150.0, 90.0), (x, 50)), i) for i, x in enumerate(columns)]
    frame, (cat_mask, face_mask) = clip[0]
    state, cat_id = tracker.add(tracker.init_state(), frame, None, cat_mask)
    state, face_id = tracker.add(state, frame, None, face_mask)
    for index, (frame, _) in enumerate(clip[1:], 1):
        state, (cat_region, face_region) = tracker.step(state, frame)
        if 16 <= index < 22:
            assert face_region.mask.area == 0
            assert (face_region.box, face_region.score) == (None, 0.0)
    assert (cat_region.track_id, face_region.track_id) == (cat_id, face_id)
    assert mask_iou(decode_mask(face_region.mask), clip[-1][1][1]) > 0.6
    assert mask_iou(decode_mask(cat_region.mask), clip[-1][1][0]) > 0.75


def test_state_stays_the_same_size_over_a_stream(random_backbone: Backbone) -> None:
    tracker = EmbeddedTracker(random_backbone)
    clip = [compose((face(), cat()), ((60 + i % 9, 70), (180, 72)), i) for i in range(18)]
    state: TrackerState = tracker.init_state()
    for mask in clip[0][1]:
        state, _ = tracker.add(state, clip[0][0], None, mask)
    features = [random_backbone.features(frame.image, height=96) for frame, _ in clip]
    sizes = []
    for index in range(160):
        frame = clip[index % len(clip)][0]
        state, _ = tracker.step(state, frame, features[index % len(clip)])
        sizes.append(state_bytes(state))
    assert max(sizes[60:]) <= max(sizes[:60])


def test_a_new_frame_size_mid_stream_is_followed(tracker: EmbeddedTracker) -> None:
    state, _ = tracker.add(tracker.init_state(), _noise((90, 160)), None, _square((90, 160)))
    for index, size in enumerate([(90, 160), (160, 90), (64, 64), (90, 160)]):
        state, (region,) = tracker.step(state, _noise(size, index + 1))
        assert region.mask.size == size


@pytest.mark.assets
def test_a_turned_camera_keeps_the_object(trained_backbone: Backbone) -> None:
    """The frame is cropped mid-stream to another size around the object."""
    tracker = EmbeddedTracker(trained_backbone)
    frame, (mask,) = compose((face(),), ((110, 70),), 0)
    state, _ = tracker.add(tracker.init_state(), frame, None, mask)
    state, _ = tracker.step(state, compose((face(),), ((111, 70),), 1)[0])
    wide, (truth,) = compose((face(),), ((112, 70),), 2)
    for index in range(3):
        crop = Frame(2 + index, 0, np.ascontiguousarray(wide.image[:, :224]), "cropped")
        state, (region,) = tracker.step(state, crop)
    assert mask_iou(decode_mask(region.mask), truth[:, :224]) > 0.6


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (3, 7)])
def test_tiny_frames_are_tracked(tracker: EmbeddedTracker, size: tuple[int, int]) -> None:
    state, _ = tracker.add(tracker.init_state(), _noise(size), None, np.ones(size, bool))
    for index in range(3):
        state, (region,) = tracker.step(state, _noise(size, index))
        assert region.mask.size == size
