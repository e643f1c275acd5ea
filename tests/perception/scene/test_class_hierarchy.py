"""Which everyday things a phrase means, and which names are kinds of others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from timm.data import ImageNetInfo

from perception.detect.coco import EVERYDAY
from perception.scene.class_hierarchy import EXACT, fitting, has_finer, kinds

LABELS = {names[0]: number for number, names in enumerate(EVERYDAY)}


def meant(phrase: str) -> set[str]:
    return {EVERYDAY[label][0] for label in fitting(phrase)}


@pytest.mark.parametrize(
    ("phrase", "names"),
    [
        ("dog", {"dog"}),
        ("hot dog", {"hot dog"}),
        ("bear", {"bear"}),
        ("teddy bears", {"teddy bear"}),
        ("my red mug", {"cup"}),
        ("knives", {"knife"}),
        ("people", {"person"}),
        ("glasses", {"cup", "wine glass"}),
        ("fruit", {"banana", "apple", "orange"}),
        ("kitchen table", {"table"}),
        ("pillow", set()),
        ("sky", set()),
        ("", set()),
        ("?!", set()),
    ],
)
def test_what_a_phrase_means(phrase: str, names: set[str]) -> None:
    assert meant(phrase) == names


def test_a_name_fits_better_than_a_looser_word() -> None:
    assert fitting("cup") == {LABELS["cup"]: EXACT}
    for looser in ("blue cup", "glass", "woman", "animal"):
        assert fitting(looser) and max(fitting(looser).values()) < EXACT


@given(st.text(max_size=40))
def test_any_text_is_a_phrase(phrase: str) -> None:
    assert all(
        0 <= label < len(EVERYDAY) and 0 < fit <= 1 for label, fit in fitting(phrase).items()
    )


def test_kinds_are_imagenets_and_belong_to_one_class() -> None:
    info = ImageNetInfo()
    every = [number for members in kinds() for number in members]
    assert len(every) == len(set(every)) and min(every) >= 0 and max(every) < 1000
    names = {
        name: [info.index_to_description(n).split(",")[0] for n in kinds()[LABELS[name]]]
        for name in ("dog", "cat", "bird", "car", "bed", "couch", "clock")
    }
    assert names["car"] == [
        "ambulance", "beach wagon", "cab", "convertible", "jeep", "limousine", "minivan",
        "Model T", "racer", "sports car",
    ]  # fmt: skip
    assert {"Chihuahua", "Mexican hairless", "dingo"} <= set(names["dog"])
    assert len(names["bird"]) == 59 and "king penguin" in names["bird"]
    assert names["couch"] == ["studio couch"] and "studio couch" not in names["bed"]
    assert has_finer(LABELS["dog"]) and not has_finer(LABELS["bed"])
    assert not has_finer(LABELS["fork"])
