"""The selector's training data and losses."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from foveal.training.data.scenes import LabelledScene, NamedThing
from foveal.training.loop import LoopConfig, run_loop
from foveal.training.selector.loop import SelectorTask, figures, scored
from foveal.training.selector.names import meanings, phrases
from foveal.training.selector.store import (
    PhraseAsker,
    PhraseExample,
    PictureExample,
    SelectorOptions,
    make_selector_store,
    read_selector_store,
)
from perception.detect.coco import EVERYDAY
from perception.detect.detector import Detection
from perception.features.backbone import Features
from perception.scene.localisation import Noticed
from perception.scene.name_matching import Name, NameMatcher
from perception.scene.reader import GroundedRegion, SceneView
from reasoning.pixsearch.region_selector import (
    DETECTED,
    LOOKED,
    NOTICED,
    CandidateFeatures,
    RegionSelector,
)
from stream.errors import SourceError
from stream.frame import Frame, Image, Mask

CLASSES = len(EVERYDAY)
CUP, DOG = 41, 16


def pictured(seed: int, watched: bool = False) -> PictureExample:
    """Two cups; the one that was not masked before is meant."""
    random = torch.Generator().manual_seed(seed)
    meant = seed % 2
    posteriors = torch.zeros(2, CLASSES)
    posteriors[:, CUP] = 0.9
    boxes = torch.tensor([[0.1, 0.1, 0.3, 0.3], [0.5, 0.5, 0.7, 0.7]])
    shown = CandidateFeatures(posteriors, boxes, torch.full((2,), 0.9), (DETECTED, DETECTED))
    covered, ious = torch.zeros(2), torch.zeros(2)
    covered[1 - meant], ious[meant] = 1.0, 0.9
    words = torch.ones(8) + 0.1 * torch.rand(8, generator=random)
    here = PhraseExample("cup", words, None, covered, ious, True)
    gone = replace(here, name="dog", words=-words, ious=torch.zeros(2), present=False)
    return PictureExample(shown, (here, gone), watched, "photograph")


def test_the_selector_learns_what_is_meant_and_what_is_not_there(tmp_path: Path) -> None:
    torch.manual_seed(0)
    table = torch.randn(CLASSES, 8)
    table[CUP], table[DOG] = torch.ones(8), -torch.ones(8)
    selector = RegionSelector(table, 8)
    pictures = [pictured(seed, watched=seed > 7) for seed in range(12)]
    before = figures(selector, pictures[8:], 0.3, 0.5)
    task = SelectorTask(selector, pictures, table, torch.eye(CLASSES))
    config = LoopConfig(steps=60, learning_rate=2e-2, warmup_steps=2, eval_every=60)
    run_loop(selector, task.losses, config, tmp_path)
    after = figures(selector, pictures[8:], 0.3, 0.5)
    assert before["giou"] < 0.6 and after["giou"] > 0.85 and after["refused"] == 1.0
    assert after["possible"] == pytest.approx(0.9)


def test_each_stage_shows_more() -> None:
    torch.manual_seed(0)
    table = torch.randn(CLASSES, 8)
    picture = pictured(0)
    shown = replace(picture.features, sources=(DETECTED, LOOKED))
    extra = CandidateFeatures(
        torch.rand(1, CLASSES), torch.rand(1, 4).sort().values, torch.ones(1), (NOTICED,)
    )
    one = replace(
        picture.asked[0], noticed=extra, covered=torch.zeros(3), ious=torch.tensor([0.1, 0.2, 0.3])
    )
    found = [
        scored(
            RegionSelector(table, 8),
            replace(picture, features=shown),
            one,
            torch.zeros(CLASSES),
            stage,
        )
        for stage in range(3)
    ]
    assert [len(logits) for logits, _ in found] == [1, 2, 3]
    assert found[2][1].tolist() == pytest.approx([0.1, 0.2, 0.3])


def test_phrases_are_names_looks_and_plain_titles_and_kinds_share_their_meaning() -> None:
    asked = phrases(EVERYDAY, ["Coffee", "World War II", "Isaac Newton", "Bass guitar"])
    assert "coffee" in asked and "bass guitar" in asked and "mug" in asked
    assert not {"isaac newton", "world war ii"} & set(asked)
    assert any(name.endswith(" mug") for name in asked)
    blank = [(f"thing {n}",) for n in range(1000)]
    table = meanings(NameMatcher([*blank, *EVERYDAY]), ["red mug", "dog", "thing 817"])
    assert table[0, 1000 + CUP] == table[0].max() > 0.8 and table[1, 1000 + DOG] == 1
    assert table[0, 1000 + DOG] == 0
    # ImageNet's class 817 is a kind of car, and may have been detected under that name.
    assert table[2, 817] == 1 and 0.5 < float(table[2, 1002]) < 1


class OneCup:
    """A reader in which everything is the cup on the left, and nothing else is noticed."""

    def read(self, frame: Frame) -> SceneView:
        posterior = np.zeros(CLASSES, np.float32)
        found = (Detection(CUP, 0.9, (4, 4, 24, 40)),)
        features = Features(torch.rand(8, 8, 12), torch.rand(12, 2, 3), frame.size)
        return SceneView(frame, features, (), (Name("nothing", 0.0),), posterior, found)

    def detect(self, image: Image) -> list[Detection]:
        return []

    def meaning(self, phrase: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return np.ones(CLASSES, np.float32)

    def notice(self, view: SceneView, match: object) -> Noticed:
        mask = np.zeros(view.frame.size, bool)
        mask[4:40, 4:14] = True
        posterior = np.zeros(CLASSES, np.float32)
        region = GroundedRegion(mask, (4, 4, 14, 40), posterior, (Name("", 0.0),), 1.0)
        return Noticed(region, 0.4)


class Boxes:
    """A cutter that fills boxes."""

    def from_box(self, image: Image, box: tuple[int, int, int, int]) -> Mask:
        mask = np.zeros(image.shape[:2], bool)
        mask[box[1] : box[3], box[0] : box[2]] = True
        return mask

    def sharpen(self, image: Image, mask: Mask, box: object = None) -> Mask:
        return mask


def test_a_store_says_how_well_each_thing_answers_and_goes_on_where_it_was_stopped(
    tmp_path: Path,
) -> None:
    asker = PhraseAsker(OneCup(), lambda phrase: torch.ones(8), Boxes())  # type: ignore[arg-type]
    mask = np.zeros((64, 96), bool)
    mask[4:40, 4:24] = True
    image = np.full((64, 96, 3), 90, np.uint8)
    scenes = [
        ("photograph", n == 1, LabelledScene(image, (NamedThing(mask, (name,)),), closed=True))
        for n, name in enumerate(("cup", "cup", "dog"))
    ]
    options = SelectorOptions(present=1, absent=1)

    def make(rank: int) -> None:
        make_selector_store(tmp_path, scenes, options, asker, rank, 2)

    with pytest.raises(SourceError):
        read_selector_store(tmp_path)
    few = replace(options, most=1)
    make_selector_store(tmp_path, scenes, few, asker)
    make_selector_store(tmp_path, scenes, few, asker)
    assert [path.name for path in tmp_path.glob("*.pt")] == ["00000.pt"]
    make(0)
    made = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.pt")}
    assert len(made) == 2
    make(1)
    make(0)
    found = read_selector_store(tmp_path)
    assert [one.watched for one in found] == [False, True, False]
    assert all((tmp_path / name).stat().st_mtime_ns == when for name, when in made.items())
    here, gone = found[0].asked
    assert (here.name, here.present, gone.name, gone.present) == ("cup", True, "dog", False)
    assert float(here.ious[0]) == 1.0 and float(gone.ious.max()) == 0.0
    assert here.ious.tolist() == pytest.approx([1.0, 0.5])  # the detected one, the noticed one
    assert here.covered.tolist() == [0.0, 0.0] and here.noticed is not None
    assert here.noticed.sources == (NOTICED,) and float(here.noticed.sure) == pytest.approx(0.4)
