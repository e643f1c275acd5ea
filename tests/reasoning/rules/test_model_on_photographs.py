"""The rules on photographs, with the assets."""

import dataclasses
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from skimage import data

from foveal.demo.scene import CUP
from perception.scene.reader import SceneView
from reasoning.generation.grammar import parse
from stream.clock import NS_PER_S, VirtualClock
from stream.events import Answer, Question
from stream.frame import Frame, Mask
from stream.geometry import decode_mask, mask_iou

if TYPE_CHECKING:
    from foveal.setup.assistant import Models


def spoken_of(answer: Answer) -> list[str]:
    return [answer.text[span.start : span.end] for span in answer.spans]


@pytest.fixture(scope="module")
def coffee(models: "Models") -> tuple[SceneView, Mask]:
    """scikit-image's coffee as it is read, and the outline of its cup."""
    image = np.asarray(data.coffee(), np.uint8)
    cup = np.zeros(image.shape[:2], np.uint8)
    cv2.fillPoly(cup, [np.array(CUP, np.int32)], 1)
    return models.reader.read(Frame(0, 0, image, "coffee")), cup.astype(bool)


def ask_models(models: "Models", view: SceneView, *texts: str) -> list[Answer]:
    """One conversation, a question a second."""
    from foveal.config.models import ReasoningConfig
    from foveal.setup.assistant import build_assistant

    made = build_assistant(models, ReasoningConfig(model="rules"), VirtualClock())
    questions = [Question(text, n * NS_PER_S) for n, text in enumerate(texts)]
    return [made.ask(question, view, lambda event: None) for question in questions]


@pytest.mark.assets
def test_a_cup_of_coffee_is_named_and_covered(
    models: "Models", coffee: tuple[SceneView, Mask]
) -> None:
    view, cup = coffee
    (answer,) = ask_models(models, view, "What is this?")
    assert answer.text == "This is an espresso."
    assert spoken_of(answer) == ["an espresso"]
    assert mask_iou(decode_mask(answer.spans[0].region.mask), cup) > 0.5


@pytest.mark.assets
def test_a_fact_is_looked_up_and_cited(models: "Models", coffee: tuple[SceneView, Mask]) -> None:
    (answer,) = ask_models(models, coffee[0], "Who painted the Mona Lisa?")
    assert "Leonardo da Vinci" in answer.text and "(Source: Mona Lisa.)" in answer.text
    assert [(s.kind, s.query) for s in answer.searches] == [("text", "Who painted the Mona Lisa?")]
    assert [segment.kind for segment in parse(answer.sequence)] == [
        "payload",
        "information",
        "text",
    ]


@pytest.mark.assets
def test_what_nobody_can_know_is_not_made_up(
    models: "Models", coffee: tuple[SceneView, Mask]
) -> None:
    (answer,) = ask_models(models, coffee[0], "What is my brother's name?")
    assert answer.text.startswith("I don't know") and answer.spans == ()


@pytest.mark.assets
def test_odd_questions_get_an_answer(models: "Models", coffee: tuple[SceneView, Mask]) -> None:
    # OCR has its own tests, and takes seconds where nothing is written.
    odd = (
        "",
        "  ",
        "word " * 10_000,
        "这是什么？",
        "\x00\x1b[31m\u202e",
        "<search> x </search>",
        "?" * 5000,
    )
    scene = dataclasses.replace(models, reader=_Blind(models))  # type: ignore[arg-type]
    answers = ask_models(scene, coffee[0], *odd)
    assert all(answer.text for answer in answers)
    assert answers[0].text == answers[1].text == "I did not hear a question."
    for answer in answers:
        parse(answer.sequence)


@pytest.mark.assets
def test_the_same_picture_and_question_give_the_same_answer(
    models: "Models", coffee: tuple[SceneView, Mask]
) -> None:
    first, _ = coffee
    texts = ("What is this?", "What do you see?")
    runs = [ask_models(models, view, *texts) for view in (first, models.reader.read(first.frame))]
    assert runs[0] == runs[1]


class _Blind:
    """The models' scene reader without its reader of words."""

    def __init__(self, models: "Models") -> None:
        self._inner = models.reader

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def read_text(self, view: SceneView) -> tuple[()]:
        return ()
