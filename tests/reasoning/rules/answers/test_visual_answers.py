"""What sight says of places, colours, states and counts, on doubles."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from perception.scene.reader import GroundedRegion, SceneView
from reasoning.generation.protocol import Prompt
from reasoning.rules.answers.appearance_answers import AppearanceAnswers
from reasoning.rules.answers.visual_answers import VisualAnswers
from reasoning.rules.focus import most_prominent
from reasoning.rules.script import Script
from stream.events import Evidence, Question
from stream.frame import Frame
from tests.doubles.perception import FakeScene, thing

SIZE = (96, 128)
CUP = thing((8, 50, 30, 70), "cup", 0.9)
BOWL = thing((90, 50, 120, 80), "bowl", 0.8)
TABLE = thing((0, 60, 128, 96), "table", 0.7)
BED = thing((20, 20, 110, 90), "bed", 0.8)


@dataclass
class Turn:
    """A turn as scripts see it."""

    prompt: Prompt
    focus: GroundedRegion | None
    evidence: Sequence[Evidence] = ()
    subject: str = ""
    noted: str = ""
    may_search: bool = False


def view_of(scene: FakeScene) -> SceneView:
    image = np.full((*SIZE, 3), 250, np.uint8)
    image[50:80, 90:120] = (220, 20, 30)
    return scene.read(Frame(0, 0, image, "test"))


def said(script: str, question: str, *things: GroundedRegion) -> str:
    scene = FakeScene(list(things))
    view = view_of(scene)
    turn = Turn(Prompt(Question(question, 0), view), most_prominent(scene, view))
    seen = VisualAnswers(scene)
    looks = AppearanceAnswers(scene, seen.listing)
    played: Script = getattr(looks if script in ("look", "state") else seen, script)
    return "".join(getattr(piece, "text", "") for piece in played(turn, question))


@pytest.mark.parametrize(
    ("script", "question", "answer"),
    [
        ("look", "What colour is the bowl?", "The bowl looks red."),
        ("look", "Is the bowl blue?", "No, the bowl looks red."),
        ("look", "Is the bowl red?", "Yes, the bowl looks red."),
        ("look", "Which one is red?", "That looks like a bowl on the right."),
        ("look", "What colour is the piano?", "I don't know: I can't make out a piano in view."),
        ("look", "Which is bigger, the cup or the bowl?", "The bowl looks bigger from here."),
        ("look", "Which is smaller, the cup or the bowl?", "The cup looks smaller from here."),
        ("list", "What is on the left?", "I see a cup on the left."),
        ("list", "What is to the right of the cup?", "I see a bowl on the right."),
        ("list", "What is behind me?", "I don't know: I only see what the camera looks at."),
        ("state", "Is the cup full?",
         "I don't know: I see the cup, but I can't tell whether it is full."),
        ("state", "Is the piano open?", "I don't know: I can't make out a piano in view."),
        ("check", "Is there a cup?", "Yes, I see a cup on the left."),
        ("check", "Is there a dog?", "No, I don't see a dog."),
        ("check", "Is there a piano?", "I see no piano, but I may miss some."),
        ("find", "Where is the piano?", "I don't know: I can't make out a piano in view."),
        ("find", "Where is the dog?", "I don't see a dog in view."),
        ("count", "How many lamps are there?", "I don't know: I can't make out any lamps in view."),
        ("check", "Are there any dogs?", "No, I don't see any dogs."),
        ("check", "Is this a cup?", "Yes, it looks like a cup."),
        ("check", "Is this a dog?", "No, it looks like a cup."),
        ("check", "Is anybody there?", "No, I don't see a person."),
        ("count", "How many dogs are there?", "I don't see any dogs in view."),
    ],
)  # fmt: skip
def test_a_cup_and_a_bowl(script: str, question: str, answer: str) -> None:
    assert said(script, question, CUP, BOWL) == answer


def test_what_lies_on_a_thing_is_told_from_the_rest() -> None:
    assert said("list", "What is on the table?", CUP, BOWL, TABLE).startswith(
        "I see a cup on the left and a bowl on the right."
    )


def test_a_bed_makes_a_bedroom() -> None:
    assert said("list", "What room is this?", BED).startswith("This looks like a bedroom. ")
    assert said("list", "What room is this?", CUP).startswith("I don't know where this is. ")


def test_what_may_be_held_is_small_and_low() -> None:
    assert said("name", "What am I holding?", BED, CUP) == "It may be a cup."
    assert said("name", "What am I holding?", BED).startswith("I don't know")
