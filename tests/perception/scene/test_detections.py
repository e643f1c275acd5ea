"""What is detected, put together with what the classifier says; scenes with a detector."""

from typing import cast

import numpy as np
import pytest

from perception.detect.coco import EVERYDAY
from perception.detect.detector import Detection
from perception.detect.ocr import TextLine
from perception.features.backbone import Backbone
from perception.scene.detections import (
    fits,
    fused,
    match,
    names_with,
    prominence,
    sightings,
    under,
    unseen,
    wanted,
)
from perception.scene.name_matching import NameMatcher, Posterior
from perception.scene.reader import SceneReader
from perception.scene.recogniser import EverydayHead, Recogniser
from stream.errors import PromptError
from stream.events import Region
from stream.frame import Frame, Image, Mask
from stream.geometry import Box, encode_mask, mask_box
from tests.doubles.perception import FakeDetector

LABELS = {names[0]: number for number, names in enumerate(EVERYDAY)}
SPORTS_CAR, BED, PILLOW = 817, 59, 721
SIZE = (120, 160)


def seen(name: str, probability: float, box: Box = (20, 20, 60, 60)) -> Detection:
    return Detection(LABELS[name], probability, box)


@pytest.fixture(scope="module")
def matcher() -> NameMatcher:
    from timm.data import ImageNetInfo

    info = ImageNetInfo()
    described = [info.index_to_description(n).split(",") for n in range(1000)]
    named = [tuple(name.strip() for name in names) for names in described]
    return NameMatcher([*named, *EVERYDAY])


def says(**odds: float) -> Posterior:
    """A classifier's [C] posterior: `n817` by ImageNet's number, else an everyday name."""
    posterior = np.zeros(1000 + len(EVERYDAY), np.float32)
    for name, value in odds.items():
        number = int(name[1:]) if name[1:].isdigit() else 1000 + LABELS[name]
        posterior[number] = value
    return posterior


def test_a_kind_of_what_was_detected_is_said_instead(matcher: NameMatcher) -> None:
    names = names_with(matcher, says(n817=0.7, n656=0.1), seen("car", 0.9))
    assert (names[0].label, names[1].label) == ("sports car", "car")
    unsure = names_with(matcher, says(n817=0.2, n656=0.1), seen("car", 0.9))
    assert unsure[0].label == "car" and unsure[0].probability > 0.9
    torn = names_with(matcher, says(n817=0.4, n656=0.4), seen("car", 0.9))
    assert torn[0].label == "car"


def test_the_surer_one_names_what_they_disagree_on(matcher: NameMatcher) -> None:
    sure = names_with(matcher, says(n831=0.6), seen("bed", 0.9))
    assert sure[0].label == "bed" and sure[0].probability == pytest.approx(0.9)
    weak = names_with(matcher, says(n831=0.9), seen("bed", 0.4))
    assert weak[0].label == "studio couch"
    for posterior, sureness in ((says(n831=0.6), 0.9), (says(n817=0.5, n3=0.5), 0.5)):
        together = fused(posterior, seen("bed", sureness))
        assert together.min() >= 0 and float(together.sum()) <= 1 + 1e-5
        assert together[1000 + BED] >= sureness * 0.99


def test_a_pillow_is_no_bed_and_a_dog_no_hot_dog(matcher: NameMatcher) -> None:
    pillow = wanted(matcher, "pillow")
    assert pillow[PILLOW] == 1 and pillow[1000 + BED] == 0
    dog = wanted(matcher, "dog")
    assert dog[1000 + LABELS["dog"]] == 1 and dog[207] == 1  # 207: golden retriever
    assert dog[1000 + LABELS["hot dog"]] == 0 and dog[934] == 0
    assert wanted(matcher, "red car")[SPORTS_CAR] == pytest.approx(0.9)


def test_detections_that_a_phrase_means() -> None:
    there = [
        seen("cup", 0.9),
        seen("bottle", 0.8),
        seen("cup", 0.5, (80, 20, 110, 60)),
        seen("cat", 0.7, (0, 0, 20, 20)),
        seen("cup", 0.1, (0, 80, 20, 100)),
    ]
    assert [one.box[0] for one in fits("mugs", there, 0.25)] == [20, 80]
    assert [one.name for one in fits("animal", there, 0.25)] == ["cat"]
    cat = [seen("cat", 0.9), seen("dog", 0.3), seen("dog", 0.3, (90, 20, 140, 60))]
    assert [one.box[0] for one in fits("dog", cat, 0.25)] == [90]
    assert unseen("zebra", there) and not unseen("mug", there) and not unseen("sky", there)
    assert fits("car", there, 0.25) == [] and fits("zebra crossing", there, 0.25) == []


def picture() -> Image:
    image = np.full((*SIZE, 3), 60, np.uint8)
    image[20:60, 20:60] = (220, 40, 40)
    image[70:110, 90:140] = (40, 200, 60)
    return image


def block(box: Box) -> Mask:
    mask = np.zeros(SIZE, bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return mask


def test_sightings_leave_out_what_is_followed_or_unlikely() -> None:
    there = [
        seen("cup", 0.9),
        seen("bowl", 0.8, (90, 70, 140, 110)),
        seen("cat", 0.2, (0, 0, 9, 9)),
    ]
    found = sightings(picture(), there)
    assert {one.detection.name for one in found} == {"cup", "bowl"}
    assert all(one.mask.shape == SIZE and one.box == mask_box(one.mask) for one in found)
    left = sightings(picture(), there, [block((20, 20, 60, 60))])
    assert [one.detection.name for one in left] == ["bowl"]
    assert len(sightings(picture(), there, limit=1)) == 1
    assert match((21, 20, 60, 61), there) == there[0] and match((0, 60, 20, 80), there) is None
    assert match((0, 0, 5, 5), []) is None


def test_the_smallest_thing_under_a_point_is_meant() -> None:
    there = [seen("table", 0.9, (0, 0, 160, 120)), seen("cup", 0.8)]
    sighting = under(picture(), (40, 40), there)
    assert sighting is not None and sighting.detection.name == "cup"
    assert under(picture(), (40, 40), [seen("cup", 0.1)]) is None


def test_prominence_is_for_what_is_sure_large_and_central() -> None:
    best = prominence(seen("cup", 0.9, (60, 40, 100, 80)), SIZE)
    for lesser in (seen("cup", 0.5, (60, 40, 100, 80)), seen("cup", 0.9, (78, 58, 82, 62)),
                   seen("cup", 0.9, (0, 0, 40, 40))):  # fmt: skip
        assert 0 < prominence(lesser, SIZE) < best <= 1


class NoWords:
    """Reads nothing."""

    def read(self, image: Image) -> tuple[TextLine, ...]:
        return ()


def reader(backbone: Backbone, *detections: Detection) -> SceneReader:
    """An untrained reader: what the classifier says means nothing."""
    head = EverydayHead(
        np.zeros((len(EVERYDAY) + 1, 1280), np.float32), np.zeros(len(EVERYDAY) + 1, np.float32)
    )
    recogniser = Recogniser(backbone, head)
    matcher = NameMatcher(recogniser.class_synonyms)
    return SceneReader(backbone, recogniser, matcher, NoWords(), detector=FakeDetector(detections))


def test_a_scene_with_a_detector(random_backbone: Backbone) -> None:
    scene = reader(
        random_backbone, seen("cup", 0.95), seen("cup", 0.9, (90, 70, 140, 110)),
        seen("cat", 0.05, (0, 0, 9, 9)),
    )  # fmt: skip
    frame = Frame(0, 0, picture(), "test")
    view = scene.read(frame)
    assert cast(FakeDetector, scene._detector).looks == 1
    assert [one.names[0].label for one in view.things[:2]] == ["cup", "cup"]
    assert len(scene.find_all(view, "mugs")) == 2
    mug = scene.find(view, "mug")
    assert mug.names[0].label == "mug" and mug.box[0] < 60
    assert scene.find(view, "glass").names[0].label == "cup"  # it may be no glass
    with pytest.raises(PromptError, match="fits 'zebra'"):
        scene.find(view, "zebra")
    assert scene.point_at(view, (115, 90), None).names[0].label == "cup"
    assert scene.point_at(view, None, (18, 18, 62, 62)).names[0].label == "cup"
    assert not any(one.names[0].label == "cup" for one in scene.around(view))
    assert cast(FakeDetector, scene._detector).looks == 1  # once a view, whatever is asked


def test_seeds_come_with_names_and_not_for_what_is_followed(random_backbone: Backbone) -> None:
    scene = reader(random_backbone, seen("cup", 0.95), seen("bed", 0.9, (0, 0, 160, 120)))
    frame = Frame(0, 0, picture(), "test")
    fresh = scene.new_things(frame)
    assert fresh[0].names[0].label == "cup" and fresh[0].track_id is None
    assert not any(one.names[0].label == "bed" for one in fresh)  # it fills the picture
    mask = block((20, 20, 60, 60))
    live = Region(7, 0, encode_mask(mask), mask_box(mask), 0.9)
    assert not any(one.names[0].label == "cup" for one in scene.new_things(frame, None, [live]))
    view = scene.read(frame, None, [live])
    assert view.things[0].track_id == 7 and view.things[0].names[0].label == "cup"
    assert scene.find(view, "cup").track_id == 7
