"""Scenes: things with masks and names in real photographs, and any frame at all."""

import copy
import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data

from foveal.demo.scene import CAT
from perception.detect.coco import EVERYDAY
from perception.detect.ocr import TextLine
from perception.features.backbone import Backbone
from perception.scene.name_matching import NameMatcher
from perception.scene.reader import SceneReader, SceneView, where
from perception.scene.recogniser import EverydayHead, Recogniser
from perception.scene.sliding_windows import agreed, windows
from stream.errors import PromptError
from stream.events import Region
from stream.frame import Frame, Image, Mask
from stream.geometry import encode_mask, mask_box, mask_iou
from tests.doubles.perception import thing

if TYPE_CHECKING:
    from foveal.setup.assistant import Models


class OneLine:
    """Reads one line in every picture."""

    def read(self, image: Image) -> tuple[TextLine, ...]:
        return (TextLine("EXIT", (0, 0, 4, 4), 0.9),)


@pytest.fixture(scope="module")
def untrained(random_backbone: Backbone) -> SceneReader:
    """Contracts hold whatever the weights say."""
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((len(EVERYDAY) + 1, 1280)).astype(np.float32)
    head = EverydayHead(weight, np.zeros(len(EVERYDAY) + 1, np.float32))
    recogniser = Recogniser(random_backbone, head)
    matcher = NameMatcher(recogniser.class_synonyms)
    return SceneReader(random_backbone, recogniser, matcher, OneLine())


def frame(image: Image) -> Frame:
    return Frame(5, 5, np.ascontiguousarray(image), "test")


def check(view: SceneView) -> None:
    size = view.frame.size
    for one in view.things:
        assert one.mask.shape == size and one.mask.any() and one.box == mask_box(one.mask)
        assert one.names and 0 <= one.score <= 1 and 0 <= one.saliency <= 1
        assert 0 < float(one.posterior.sum()) <= 1 + 1e-3
    assert view.whole and 0 <= view.whole[0].probability <= 1


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (16, 16), (90, 160)])
def test_frames_of_any_size_are_read(untrained: SceneReader, size: tuple[int, int]) -> None:
    image = np.random.default_rng(1).integers(0, 256, (*size, 3)).astype(np.uint8)
    view = untrained.read(frame(image))
    check(view)
    inside = untrained.point_at(view, (size[1] - 1, size[0] - 1), None)
    assert inside.mask.shape == size and inside.mask.any()
    assert untrained.whole_region(view).mask.any()
    assert untrained.read_text(view)[0].text == "EXIT"


@pytest.mark.parametrize("size", [(1, 1), (16, 16)])
@pytest.mark.parametrize("phrase", ["cup", "", "zzz"])
def test_any_phrase_is_found_or_refused(
    untrained: SceneReader, size: tuple[int, int], phrase: str
) -> None:
    view = untrained.read(frame(np.full((*size, 3), 90, np.uint8)))
    try:
        assert untrained.find(view, phrase).mask.any()
    except PromptError as error:
        assert "found nothing" in str(error)


def test_masklets_come_first_and_keep_their_ids(untrained: SceneReader) -> None:
    image = np.random.default_rng(1).integers(0, 256, (90, 160, 3)).astype(np.uint8)
    mask = np.zeros((90, 160), bool)
    mask[20:45, 40:70] = True
    gone = Region(8, 5, encode_mask(np.zeros_like(mask)), None, 0.0)
    held = Region(7, 5, encode_mask(mask), mask_box(mask), 0.9)
    view = untrained.read(frame(image), tracked=(gone, held))
    check(view)
    assert [one.track_id for one in view.things][:1] == [7]
    assert all(one.track_id is None for one in view.things[1:])
    assert np.array_equal(view.things[0].mask, mask)
    assert untrained.point_at(view, (50, 30), None) is view.things[0]


def test_new_things_are_those_that_no_masklet_follows(untrained: SceneReader) -> None:
    image = np.random.default_rng(1).integers(0, 256, (90, 160, 3)).astype(np.uint8)
    mask = np.zeros((90, 160), bool)
    mask[20:45, 40:70] = True
    held = Region(7, 5, encode_mask(mask), mask_box(mask), 0.9)
    view = untrained.read(frame(image), tracked=(held,))
    new = untrained.new_things(frame(image), tracked=(held,))
    assert _facts(new) == _facts(view.things[1:])
    everywhere = np.ones_like(mask)
    all_held = Region(8, 5, encode_mask(everywhere), mask_box(everywhere), 0.9)
    assert untrained.new_things(frame(image), tracked=(all_held,)) == ()


def test_a_large_masklet_is_not_what_a_point_means(untrained: SceneReader) -> None:
    """The table under the cup."""
    image = np.random.default_rng(1).integers(0, 256, (90, 160, 3)).astype(np.uint8)
    mask = np.ones((90, 160), bool)
    held = Region(7, 5, encode_mask(mask), mask_box(mask), 0.9)
    view = untrained.read(frame(image), tracked=(held,))
    assert view.things[0].track_id == 7
    assert untrained.point_at(view, (50, 30), None).track_id is None


@pytest.mark.parametrize(
    ("point", "box"), [((-1, 0), None), ((160, 0), None), (None, (200, 0, 220, 9)), (None, None)]
)
def test_prompts_outside_the_frame_are_refused(
    untrained: SceneReader,
    point: tuple[int, int] | None,
    box: tuple[int, int, int, int] | None,
) -> None:
    view = untrained.read(frame(np.zeros((90, 160, 3), np.uint8)))
    with pytest.raises(PromptError):
        untrained.point_at(view, point, box)
    with pytest.raises(PromptError, match="empty"):
        untrained.names_of(view, np.zeros((90, 160), bool))


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ((0, 0, 20, 20), "at the top on the left"),
        ((40, 0, 60, 20), "at the top"),
        ((80, 80, 100, 100), "at the bottom on the right"),
        ((40, 40, 60, 60), "in the middle"),
        ((0, 40, 20, 60), "on the left"),
        ((0, 0, 100, 100), "in the middle"),
    ],
)
def test_where_golden(box: tuple[int, int, int, int], words: str) -> None:
    assert where(thing(box, "cup", size=(100, 100)), (100, 100)) == words


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.data())
def test_where_says_something_of_any_box(height: int, width: int, data_: st.DataObject) -> None:
    x, y = data_.draw(st.integers(0, width - 1)), data_.draw(st.integers(0, height - 1))
    words = where(thing((x, y, x + 1, y + 1), "dot", size=(height, width)), (height, width))
    assert words == "in the middle" or words.startswith(("at the ", "on the "))


# With the assets.


def cat_mask() -> Mask:
    mask = np.zeros(data.chelsea().shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.array(CAT, np.int32)], 1)
    return mask.astype(bool)


@pytest.fixture(scope="module")
def chelsea(models: "Models") -> SceneView:
    return models.reader.read(frame(data.chelsea()))


@pytest.mark.assets
def test_a_cat_is_seen_and_named(models: "Models", chelsea: SceneView) -> None:
    check(chelsea)
    assert "cat" in chelsea.whole[0].label
    assert any("cat" in one.names[0].label for one in chelsea.things)
    assert mask_iou(models.reader.find(chelsea, "cat").mask, cat_mask()) > 0.4
    assert mask_iou(models.reader.whole_region(chelsea).mask, cat_mask()) > 0.4


@pytest.mark.assets
@pytest.mark.parametrize("phrase", ["xylophone", ""])
def test_what_is_not_in_view_is_not_found(
    models: "Models", chelsea: SceneView, phrase: str
) -> None:
    with pytest.raises(PromptError, match="found nothing"):
        models.reader.find(chelsea, phrase)


@pytest.mark.assets
def test_reading_twice_gives_the_same(models: "Models", chelsea: SceneView) -> None:
    again = models.reader.read(chelsea.frame)
    assert _facts(again.things) == _facts(chelsea.things)
    assert again.whole == chelsea.whole


def _facts(things: Sequence[object]) -> list[object]:
    rows: list[object] = []
    for one in things:
        rows += [
            value.tobytes() if isinstance(value, np.ndarray) else value
            for value in (getattr(one, f.name) for f in dataclasses.fields(one))  # type: ignore[arg-type]
        ]
    return rows


@given(st.integers(1, 4000), st.integers(1, 4000))
def test_windows_are_few_and_inside_the_frame(height: int, width: int) -> None:
    boxes = windows((height, width))
    assert 1 <= len(boxes) <= 60
    assert all(0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height for x0, y0, x1, y1 in boxes)


def test_views_agree_only_when_several_do() -> None:
    one_sure = [np.array([0.9, 0.0], np.float32)] + [np.array([0.0, 0.3], np.float32)] * 3
    assert agreed(one_sure) == pytest.approx([0.3, 0.3])
    assert agreed(one_sure[:1]) == pytest.approx([0.9, 0.0])


def test_a_closer_look_names_the_cat_once_and_shows_where(
    models: "Models", chelsea: SceneView
) -> None:
    unaided = copy.copy(models.reader)
    unaided._detector = None
    found = unaided.around(dataclasses.replace(chelsea, detections=()))
    told = {one.names[0].label for one in models.reader.around(chelsea)}
    assert not any("cat" in label for label in told)  # it was detected
    assert "cat" in found[0].names[0].label.lower()
    assert all(region.mask.any() for region in found)
    assert len({region.names[0].label for region in found}) == len(found)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


def test_a_glance_names_nothing_anew_and_keeps_masklets_that_are_still_there(
    untrained: SceneReader,
) -> None:
    image = np.full((96, 128, 3), 40, np.uint8)
    image[20:60, 30:70] = 220
    masks = [np.zeros((96, 128), bool) for _ in range(3)]
    masks[0][20:60, 30:70] = True
    masks[1][0:10, 0:20] = True
    masks[2][25:65, 40:80] = True  # the first one, later
    regions = [Region(n, 5, encode_mask(masks[n - 1]), mask_box(masks[n - 1]), 0.9) for n in (1, 2)]
    seen = untrained.read(frame(image), tracked=regions)
    assert untrained.glance(seen.frame, seen.features, regions, seen) is seen
    later, features = frame(image[:, ::-1]), seen.features
    moved = Region(1, 6, encode_mask(masks[2]), mask_box(masks[2]), 0.9)
    new = Region(3, 6, encode_mask(masks[1]), mask_box(masks[1]), 0.9)
    view = untrained.glance(later, features, [moved, new], seen)
    (thing,) = view.things
    named = next(one for one in seen.things if one.track_id == 1)
    assert thing.track_id == 1 and thing.box == mask_box(masks[2])
    assert thing.names == named.names and (thing.mask == masks[2]).all()
    assert view.frame is later and view.whole == seen.whole
