"""Phrases go to a segmenter where one is configured, else to a finder behind the detector."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from perception.detect.coco import EVERYDAY
from perception.detect.detector import Detection
from perception.detect.ocr import TextLine
from perception.features.backbone import Backbone
from perception.scene.instances import PhraseInstance, PhraseInstances, PhraseSegmenter
from perception.scene.name_matching import NameMatcher
from perception.scene.phrase_grounding import MIN_POINTED, Finder, Pointed
from perception.scene.reader import SceneReader, SceneView
from perception.scene.recogniser import EverydayHead, Recogniser
from stream.errors import PromptError
from stream.frame import Frame, Image, Mask
from tests.doubles.perception import FakeDetector, thing

SIZE = (96, 128)
CUP = next(n for n, names in enumerate(EVERYDAY) if names[0] == "cup")


class NoWords:
    def read(self, image: Image) -> tuple[TextLine, ...]:
        return ()


@pytest.fixture(scope="module")
def scene(random_backbone: Backbone) -> SceneReader:
    head = EverydayHead(
        np.zeros((len(EVERYDAY) + 1, 1280), np.float32), np.zeros(len(EVERYDAY) + 1, np.float32)
    )
    recogniser = Recogniser(random_backbone, head)
    matcher = NameMatcher(recogniser.class_synonyms)
    detector = FakeDetector([Detection(CUP, 0.9, (8, 8, 40, 40))])
    return SceneReader(random_backbone, recogniser, matcher, NoWords(), detector=detector)


@pytest.fixture(scope="module")
def view(scene: SceneReader) -> SceneView:
    image = np.full((*SIZE, 3), 60, np.uint8)
    image[8:40, 8:40] = (220, 40, 40)
    return scene.read(Frame(0, 0, image, "test"))


def corner() -> Mask:
    mask = np.zeros(SIZE, bool)
    mask[60:90, 90:120] = True
    return mask


def finder(sure: float, asked: list[str], mask: Mask | None = None) -> Finder:
    def find(view: SceneView, phrase: str) -> Pointed | None:
        asked.append(phrase)
        return Pointed(corner() if mask is None else mask, sure)

    return find


def test_a_sure_detection_needs_no_finder(scene: SceneReader, view: SceneView) -> None:
    asked: list[str] = []
    scene.ask(finder(0.9, asked))
    assert scene.find(view, "cup").box[0] < 40 and len(scene.find_all(view, "mugs")) == 1
    assert not asked


def test_what_is_not_detected_is_what_the_finder_points_at(
    scene: SceneReader, view: SceneView
) -> None:
    asked: list[str] = []
    scene.ask(finder(0.7, asked))
    found = scene.find(view, "the jugs")
    assert asked == ["the jugs"] and np.array_equal(found.mask, corner())
    assert found.names[0].label == "the jug" and found.score == pytest.approx(0.7)
    assert [np.array_equal(one.mask, corner()) for one in scene.find_all(view, "jug")] == [True]


@pytest.mark.parametrize("sure", [None, 0.0, MIN_POINTED - 0.01])
def test_what_it_does_not_surely_point_at_is_not_in_view(
    scene: SceneReader, view: SceneView, sure: float | None
) -> None:
    scene.ask((lambda view, phrase: None) if sure is None else finder(sure, []))
    with pytest.raises(PromptError, match="found nothing"):
        scene.find(view, "jug")


def test_a_masklet_that_it_points_at_keeps_its_id(scene: SceneReader, view: SceneView) -> None:
    followed = replace(
        thing((90, 60, 120, 90), "jug", track_id=7),
        posterior=np.zeros(len(view.whole_posterior), np.float32),
    )
    scene.ask(finder(0.7, [], followed.mask))
    found = scene.find(replace(view, things=(followed,)), "jug")
    assert found.track_id == 7 and found.mask is followed.mask


def test_without_a_finder_rules_decide(scene: SceneReader, view: SceneView) -> None:
    scene.ask(None)
    with pytest.raises(PromptError, match="found nothing"):
        scene.find(view, "jug")


def test_where_no_class_fits_nothing_is_noticed(scene: SceneReader, view: SceneView) -> None:
    blank = np.zeros(len(view.whole_posterior), np.float32)
    assert scene.notice(view, blank) is None
    everything = np.ones_like(blank)
    noticed = scene.notice(view, everything)
    assert noticed is None or (noticed.region.mask.any() and 0.9 < noticed.fit <= 1.001)


class Segmenter:
    """Finds what it is given."""

    def __init__(self, *masks: Mask) -> None:
        self.masks, self.asked = masks, list[str]()

    def segment(self, image: Image, phrase: str) -> PhraseInstances:
        self.asked.append(phrase)
        found = (
            PhraseInstance(one, (0, 0, 1, 1), 0.8 - n / 10) for n, one in enumerate(self.masks)
        )
        return PhraseInstances(0.9 if self.masks else 0.02, tuple(found))


@pytest.fixture
def segmented(scene: SceneReader) -> Iterator[Callable[[PhraseSegmenter], None]]:
    yield scene.segment_by
    scene.segment_by(None)


def test_a_segmenter_decides_alone(
    scene: SceneReader, view: SceneView, segmented: Callable[[PhraseSegmenter], None]
) -> None:
    other = np.roll(corner(), -40, axis=1)
    segmenter = Segmenter(corner(), other)
    segmented(segmenter)
    first, second = scene.find_all(view, "the cups")  # the detector sees one, elsewhere
    assert first.mask is segmenter.masks[0] and second.mask is segmenter.masks[1]
    assert (first.names[0].label, first.score) == ("the cup", 0.8)
    assert first.box == (90, 60, 120, 90)
    assert scene.find(view, "the cups").mask is segmenter.masks[0]
    assert segmenter.asked == ["the cups", "the cups"]


def test_what_a_segmenter_does_not_see_is_refused_with_its_presence(
    scene: SceneReader, view: SceneView, segmented: Callable[[PhraseSegmenter], None]
) -> None:
    asked: list[str] = []
    scene.ask(finder(0.9, asked))
    segmented(Segmenter())
    for find in (scene.find, scene.find_all):
        with pytest.raises(PromptError, match=r"fits 'cup', found nothing \(presence 0\.02\)"):
            find(view, "cup")
    assert asked == []
    scene.ask(None)


def test_an_instance_on_a_masklet_keeps_its_id_and_mask(
    scene: SceneReader, view: SceneView, segmented: Callable[[PhraseSegmenter], None]
) -> None:
    segmented(Segmenter(corner()))
    followed = thing((92, 61, 120, 90), "zebra", track_id=7)
    region = scene.find(replace(view, things=(followed,)), "vase")
    assert region.track_id == 7 and region.mask is followed.mask
    assert region.names[0].label == "vase"
    apart = thing((0, 0, 20, 20), "zebra", track_id=7)
    assert scene.find(replace(view, things=(apart,)), "vase").track_id is None
