"""Masks cut anew: by the real network, and what the tracker makes of them."""

import numpy as np
import pytest
from skimage import data

from foveal.setup.cutters import load_small_sam
from perception.features.backbone import Backbone
from perception.tracking.renewal import Renewer
from perception.tracking.settings import TrackerConfig
from perception.tracking.tracker import EmbeddedTracker
from stream.frame import Image, Mask
from stream.geometry import decode_mask, mask_iou
from tests.perception.rendered import compose, face


@pytest.fixture(scope="module")
def renewer() -> Renewer:
    return Renewer(load_small_sam())


def _disc(height: int, width: int, radius: int) -> Mask:
    y, x = np.mgrid[:height, :width]
    return np.asarray((y - height // 2) ** 2 + (x - width // 2) ** 2 <= radius**2)


@pytest.mark.assets
def test_a_rough_mask_becomes_the_thing(renewer: Renewer) -> None:
    image = np.full((240, 320, 3), (40, 120, 60), np.uint8)
    image += np.random.default_rng(0).integers(0, 20, image.shape, dtype=np.uint8)
    true = _disc(240, 320, 60)
    image[true] = (230, 60, 40)
    rough = _disc(240, 320, 54)
    (fresh,) = renewer(image, [rough])
    assert fresh is not None
    assert mask_iou(fresh, true) > max(0.93, mask_iou(rough, true))
    (again,) = renewer(image, [rough])
    assert again is not None
    assert np.array_equal(again, fresh)


@pytest.mark.assets
def test_what_is_no_thing_is_left_alone(renewer: Renewer) -> None:
    image = np.asarray(data.chelsea())
    stripes = np.zeros(image.shape[:2], bool)
    stripes[::12, 100:300] = True
    assert renewer(image, [stripes]) == [None]
    assert renewer(image, []) == []


class OnceRenewer:
    """A double of the network: the first mask that is asked for becomes `fixed`, others nothing."""

    def __init__(self, fixed: Mask) -> None:
        self._fixed = fixed
        self.asked: list[Image] = []
        self.ahead: list[Image] = []

    def __call__(self, image: Image, masks: list[Mask]) -> list[Mask | None]:
        self.asked.append(image)
        return [self._fixed if len(self.asked) == 1 else None for _ in masks]

    def look_ahead(self, image: Image) -> None:
        self.ahead.append(image)

    def ready(self, image: Image) -> bool:
        return any(known is image for known in self.ahead)


def test_a_mask_cut_anew_is_shown_and_remembered(random_backbone: Backbone) -> None:
    frames = [compose((face(),), ((80 + 2 * i, 70),), i) for i in range(6)]
    fixed = frames[0][1][0].copy()
    fixed[:, : fixed.shape[1] // 4] = False
    renew = OnceRenewer(fixed)
    tracker = EmbeddedTracker(random_backbone, TrackerConfig(renew_every=2), renewer=renew)
    plain = EmbeddedTracker(random_backbone)
    state, _ = tracker.add(tracker.init_state(), frames[0][0], None, frames[0][1][0])
    other, _ = plain.add(plain.init_state(), frames[0][0], None, frames[0][1][0])
    for number, (frame, _) in enumerate(frames[1:], 1):
        state, (region,) = tracker.step(state, frame)
        other, (carried,) = plain.step(other, frame)
        if number == 1:
            assert region.mask == carried.mask
        if number == 2:
            assert mask_iou(decode_mask(region.mask), fixed) > 0.97
            assert float(state.tracks[0].recent[-1].label.sum()) == pytest.approx(
                fixed.sum() / 64 * state.tracks[0].first.label.numel() * 64 / fixed.size, rel=0.02
            )
    assert len(renew.asked) == 2


def test_masks_are_cut_anew_where_it_was_looked_ahead(random_backbone: Backbone) -> None:
    frames = [compose((face(),), ((80 + 2 * i, 70),), i) for i in range(6)]
    renew = OnceRenewer(frames[0][1][0])
    tracker = EmbeddedTracker(random_backbone, TrackerConfig(renew_every=4), renewer=renew)
    assert tracker.look_every == 4 and EmbeddedTracker(random_backbone).look_every == 0
    tracker.look_ahead(frames[2][0])
    state, _ = tracker.add(tracker.init_state(), frames[0][0], None, frames[0][1][0])
    for frame, _ in frames[1:]:
        state, _ = tracker.step(state, frame)
    assert len(renew.asked) == 1 and renew.asked[0] is frames[2][0].image
    assert state.since == 3


@pytest.mark.assets
def test_looking_ahead_changes_no_mask(renewer: Renewer) -> None:
    frame, (mask,) = compose((face(),), ((80, 70),), 0)
    (plain,) = renewer(frame.image, [mask])
    other = frame.image.copy()
    assert not renewer.ready(other)
    renewer.look_ahead(other)
    assert renewer.ready(other) and not renewer.ready(frame.image)
    (ahead,) = renewer(other, [mask])
    assert (plain is None) == (ahead is None)
    assert plain is None or ahead is None or bool((plain == ahead).all())
