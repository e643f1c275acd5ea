"""What is looked for by its words: the detector's names, others for them, and nothing else."""

import numpy as np
import pytest

from perception.detect.coco import EVERYDAY
from perception.detect.detector import Detection
from perception.scene.instances import PhraseInstance, PhraseInstances
from perception.scene.spotting import NOWHERE, Spotter
from stream.frame import Image

LABELS = {names[0]: number for number, names in enumerate(EVERYDAY)}
PICTURE = np.zeros((48, 64, 3), np.uint8)


@pytest.mark.parametrize(
    ("phrase", "sees"),
    [
        ("cup", ("exactly", "cup")),
        ("dogs", ("exactly", "dog")),
        ("broken cup", ("as", "cup")),
        ("milk", ("no", "")),
        ("Anna", ("no", "")),
        ("", ("no", "")),
    ],
)
def test_a_phrase_can_be_looked_for_or_not(phrase: str, sees: tuple[str, str]) -> None:
    assert Spotter(detects=True).sees(phrase) == sees
    assert Spotter(detects=False).sees(phrase) == ("no", "")


def test_the_surest_thing_that_is_meant_is_found_and_no_other() -> None:
    spotter, box = Spotter(detects=True), (4, 4, 20, 20)
    seen = (Detection(LABELS["dog"], 0.9, box), Detection(LABELS["cup"], 0.5, (30, 4, 50, 20)))
    assert spotter.spot("cup", PICTURE, seen).probability == 0.5
    assert spotter.spot("animal", PICTURE, seen).name == "dog"
    assert spotter.spot("spoon", PICTURE, seen) is NOWHERE
    assert spotter.spot("cup", PICTURE, ()) is NOWHERE


class OneInstance:
    """Finds one thing of any phrase, at a given presence."""

    def segment(self, image: Image, phrase: str) -> PhraseInstances:
        mask = np.zeros(image.shape[:2], bool)
        mask[8:16, 8:24] = True
        found = PhraseInstance(mask, (8.0, 8.0, 24.0, 16.0), 0.9)
        return PhraseInstances(0.7, () if phrase == "nothing" else (found,))


def test_a_phrase_segmenter_looks_for_any_words() -> None:
    spotter = Spotter(detects=True, segmenter=OneInstance())
    assert spotter.any_words and spotter.sees("milk") == ("exactly", "milk")
    spot = spotter.spot("milk", PICTURE, ())
    assert (spot.probability, spot.box) == (0.7, (8, 8, 24, 16))
    assert spotter.spot("nothing", PICTURE, ()) is NOWHERE
