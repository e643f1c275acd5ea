"""What a question is about: pointed at, named, or most prominent."""

import numpy as np
import pytest

from perception.scene.name_matching import Name
from perception.scene.reader import SceneView
from reasoning.rules.focus import find_focus, most_prominent
from stream.events import Question
from stream.frame import Frame
from tests.doubles.perception import FakeScene, thing

CUP = thing((8, 16, 40, 56), "coffee cup", 0.6)
DOG = thing((60, 16, 100, 56), "dog", 0.8)


def view_of(scene: FakeScene) -> SceneView:
    return scene.read(Frame(0, 0, np.zeros((96, 128, 3), np.uint8), "test"))


@pytest.mark.parametrize(
    ("question", "label"),
    [
        (Question("What is this?", 0), "dog"),
        (Question("Who made this cup?", 0), "coffee cup"),
        (Question("What is this?", 0, point=(20, 30)), "coffee cup"),
        (Question("What is this?", 0, box=(10, 20, 30, 50)), "coffee cup"),
        (Question("What is this cup?", 0, point=(80, 30)), "dog"),
        (Question("What is this piano?", 0), "dog"),  # no piano in view
        (Question("What is this?", 0, point=(-5, 30)), "dog"),
        (Question("What is this?", 0, point=(4000, 30)), "dog"),
        (Question("What is this?", 0, box=(500, 500, 600, 600)), "dog"),
        (Question("", 0), "dog"),
    ],
)
def test_focus(question: Question, label: str) -> None:
    scene = FakeScene([CUP, DOG])
    found = find_focus(scene, view_of(scene), question)
    assert found is not None and found.names[0].label == label


def test_nothing_in_view_is_no_focus() -> None:
    scene = FakeScene()
    assert find_focus(scene, view_of(scene), Question("What is this?", 0)) is None


@pytest.mark.parametrize(("whole", "label"), [(0.5, "dog"), (0.94, "dog"), (0.96, "kitchen")])
def test_the_whole_picture_must_be_named_much_more_surely(whole: float, label: str) -> None:
    scene = FakeScene([CUP, DOG], Name("kitchen", whole))
    found = most_prominent(scene, view_of(scene))
    assert found is not None and found.names[0].label == label
    assert found.mask.all() == (label == "kitchen")
