"""What is listed as seen, and what as perhaps."""

import numpy as np

from perception.scene.reader import GroundedRegion
from reasoning.rules.listing import MAX_LISTED, things_in_view
from stream.frame import Frame
from tests.doubles.perception import FakeScene, thing

CUP = thing((2, 2, 10, 10), "cup", 0.6)
TABLE = thing((0, 12, 30, 24), "table", 0.15)


def listed(
    things: list[GroundedRegion], around: list[GroundedRegion]
) -> tuple[list[str], list[str]]:
    scene = FakeScene(things, around=around)
    sure, maybe = things_in_view(
        scene, scene.read(Frame(0, 0, np.zeros((96, 128, 3), np.uint8), "test")), None
    )
    return list(sure), list(maybe)


def test_sure_things_come_first_and_each_name_once() -> None:
    around = [thing((0, 0, 9, 9), "bed", 0.4), thing((3, 3, 9, 9), "cup", 0.35)]
    assert listed([CUP, TABLE], around) == (["cup", "bed"], [])


def test_what_few_views_agree_on_may_be_there() -> None:
    assert listed([CUP], [thing((0, 0, 9, 9), "bed", 0.22)]) == (["cup"], ["bed"])


def test_weak_names_are_guessed_at_only_when_there_is_nothing_better() -> None:
    assert listed([TABLE], []) == ([], ["table"])
    assert listed([TABLE, CUP], []) == (["cup"], [])
    assert listed([], []) == ([], [])


def test_a_long_list_is_cut() -> None:
    many = [thing((n, n, n + 5, n + 5), f"thing {n}", 0.9 - n / 10) for n in range(6)]
    sure, maybe = listed(many, [thing((0, 0, 9, 9), "bed", 0.22)])
    assert sure == [f"thing {n}" for n in range(MAX_LISTED)]
    assert maybe == []
