"""The region selector: sensible before training, better after it, none where none is meant."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from perception.detect.coco import EVERYDAY
from perception.detect.detector import Detection
from perception.features.backbone import Features
from perception.scene.localisation import Noticed
from perception.scene.name_matching import Name
from perception.scene.reader import GroundedRegion, Scene, SceneView
from reasoning.generation.config import GroundConfig
from reasoning.generation.protocol import Prompt
from reasoning.pixsearch.candidates import candidates_of, closer_candidates, windows
from reasoning.pixsearch.entity_masks import EntityGrounder
from reasoning.pixsearch.region_grounding import PhraseGrounder
from reasoning.pixsearch.region_selector import (
    DETECTED,
    LOOKED,
    PROPOSED,
    TRAITS,
    CandidateFeatures,
    RegionSelector,
    covers,
    load_region_selector,
    overlaps,
    phrase_embedder,
    save_region_selector,
    traits,
)
from stream.errors import AssetError
from stream.events import Question
from stream.frame import Frame, Image, Mask
from stream.geometry import Box

CLASSES = len(EVERYDAY)
CUP, BOTTLE = (
    next(n for n, names in enumerate(EVERYDAY) if names[0] == w) for w in ("cup", "bottle")
)


def names(seed: int = 0) -> Tensor:
    """Every everyday name has a word embedding of its own."""
    return torch.randn(CLASSES, 64, generator=torch.Generator().manual_seed(seed))


def shown(
    labels: Sequence[int], boxes: Sequence[Sequence[float]] | None = None
) -> CandidateFeatures:
    places = boxes or [[0.1 * n, 0.1, 0.1 * n + 0.08, 0.3] for n in range(len(labels))]
    posteriors = torch.zeros(len(labels), CLASSES)
    posteriors[range(len(labels)), list(labels)] = 0.9
    kinds = tuple(DETECTED for _ in labels)
    return CandidateFeatures(
        posteriors, torch.tensor(places), torch.full((len(labels),), 0.9), kinds
    )


def view(detections: Sequence[Detection] = (), size: tuple[int, int] = (64, 64)) -> SceneView:
    features = Features(torch.zeros(8, 8, 8), torch.zeros(12, 2, 2), size)
    frame = Frame(0, 0, np.full((*size, 3), 90, np.uint8), "test")
    blank = np.zeros(CLASSES, np.float32)
    return SceneView(frame, features, (), (Name("nothing", 0.0),), blank, tuple(detections))


@pytest.mark.parametrize("label", [0, 7, 41])
def test_before_training_a_name_points_at_what_carries_it(label: int) -> None:
    table = names()
    selector = RegionSelector(table, 8)
    fits = selector.fits(table[label][None])[0].detach()
    assert int(fits.argmax()) == label and float(fits.sigmoid()[label]) > 0.9
    things = shown([3, label, 5])
    expected = selector(fits, things, torch.zeros(3)).sigmoid()
    assert int(expected.argmax()) == 1 and float(expected.detach()[1]) > 0.8
    absent = selector(fits, shown([3, 5]), torch.zeros(2)).sigmoid()
    assert float(absent.detach().max()) < 0.1


def test_the_selector_learns_which_of_two_alike_is_meant() -> None:
    """The one that was not masked before: nothing else tells them apart."""
    torch.manual_seed(0)
    table = names()
    selector = RegionSelector(table, 8)
    optimiser = torch.optim.Adam(selector.parameters(), 2e-2)
    things = shown([CUP, CUP], [[0.1, 0.1, 0.3, 0.3], [0.6, 0.1, 0.8, 0.3]])
    fits = selector.fits(table[CUP][None])[0].detach()
    for step in range(60):
        masked = torch.eye(2)[step % 2]
        logits = selector(fits, things, masked)
        loss = torch.nn.functional.cross_entropy(logits[None], torch.tensor([1 - step % 2]))
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
    for other in (0, 1):
        assert int(selector(fits, things, torch.eye(2)[1 - other]).argmax()) == other


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(*(st.floats(0, 1) for _ in range(4))), min_size=1, max_size=6))
def test_any_boxes_have_finite_traits_and_overlaps(corners: list[tuple[float, ...]]) -> None:
    boxes = torch.tensor([[min(a, c), min(b, d), max(a, c), max(b, d)] for a, b, c, d in corners])
    covered = covers(torch.rand(7, 9), boxes)
    assert covered.shape == (len(corners),) and bool(((covered >= 0) & (covered <= 1)).all())
    things = replace(shown([CUP] * len(corners)), boxes=boxes)
    known = traits(torch.full((CLASSES,), 0.5), torch.full((len(corners),), 0.5), things, covered)
    assert known.shape == (len(corners), TRAITS) and bool(torch.isfinite(known).all())
    both = overlaps(boxes)
    assert bool(torch.allclose(both, both.T)) and float(both.max()) <= 1.0001


def test_what_was_masked_before_covers_the_boxes_it_lies_in() -> None:
    plane = torch.zeros(8, 8)
    plane[2:4, 4:8] = 0.5
    boxes = torch.tensor([[0.5, 0.25, 1, 0.5], [0, 0.5, 1, 1], [0, 0, 1, 0.5]])
    assert covers(plane, boxes).tolist() == pytest.approx([0.5, 0.0, 0.125])


def test_offers_are_the_detections_and_then_the_things_of_a_view() -> None:
    seen = [Detection(CUP, 0.8, (0, 0, 16, 32)), Detection(BOTTLE, 0.05, (0, 0, 9, 9))]
    mask = np.zeros((64, 64), bool)
    mask[32:48, 8:24] = True
    posterior = np.zeros(CLASSES, np.float32)
    posterior[BOTTLE] = 0.6
    region = GroundedRegion(mask, (8, 32, 24, 48), posterior, (Name("bottle", 0.6),), 0.5)
    candidates = candidates_of(replace(view(seen), things=(region,)))
    assert [thing.box for thing in candidates.things] == [(0, 0, 16, 32), (8, 32, 24, 48)]
    assert candidates.features.sources == (DETECTED, PROPOSED)
    assert float(candidates.features.posteriors[0, CUP]) == pytest.approx(0.8)
    assert candidates.features.boxes[1].tolist() == [0.125, 0.5, 0.375, 0.75]
    assert not candidates_of(view()).things


def test_a_closer_look_moves_boxes_drops_cut_ones_and_what_is_known() -> None:
    frame = view([Detection(CUP, 0.9, (40, 40, 60, 60))])
    calls: list[Image] = []

    def detect(part: Image) -> list[Detection]:
        calls.append(part)
        found = {
            0: [Detection(BOTTLE, 0.7, (2, 3, 12, 20)), Detection(BOTTLE, 0.9, (20, 3, 32, 20))],
            3: [Detection(CUP, 0.6, (8, 8, 28, 28))],
        }
        return found.get(len(calls) - 1, [])

    candidates = closer_candidates(frame, detect)
    assert len(calls) == len(windows((64, 64))) == 5 and calls[0].shape == (32, 32, 3)
    assert [thing.box for thing in candidates.things] == [(2, 3, 12, 20)]
    assert candidates.features.sources == (LOOKED,)


class Boxes:
    """A cutter that fills boxes."""

    def from_box(self, image: Image, box: Box) -> Mask:
        mask = np.zeros(image.shape[:2], bool)
        mask[box[1] : box[3], box[0] : box[2]] = True
        return mask

    def from_point(self, image: Image, point: Any, features: Any) -> Mask:
        raise AssertionError("nothing is pointed at")

    def from_points(self, image: Image, prompt: Any, features: Any) -> Mask:
        raise AssertionError("nothing is pointed at")

    def sharpen(self, image: Image, mask: Mask, box: Box | None = None) -> Mask:
        return mask


class ScriptedSource:
    """A detector that sees things in the first part, and a classifier that notices one."""

    def __init__(self, parts: Sequence[Detection] = (), noticed: Box | None = None) -> None:
        self.parts, self.noticed = parts, noticed
        self.asked: list[str] = []

    def detect(self, image: Image) -> Sequence[Detection]:
        self.asked.append("part")
        return self.parts if len(self.asked) == 1 else ()

    def notice(self, view: SceneView, match: Any) -> Noticed | None:
        self.asked.append("notice")
        if self.noticed is None:
            return None
        mask = Boxes().from_box(view.frame.image, self.noticed)
        posterior = np.asarray(0.9 * (match == match.max()), np.float32)
        names = (Name("", 0.9),)
        return Noticed(GroundedRegion(mask, self.noticed, posterior, names, 1.0), 0.9)


def grounder(
    looks: ScriptedSource, table: Tensor, config: GroundConfig | None = None
) -> PhraseGrounder:
    """An untrained selector that is asked for the n-th name by its number."""
    return PhraseGrounder(
        RegionSelector(table, 8), lambda words: table[int(words)], looks, Boxes(), config
    )


ABSENT = next(n for n in range(CLASSES) if n not in (CUP, BOTTLE))
TWO = [Detection(CUP, 0.9, (4, 4, 20, 30)), Detection(BOTTLE, 0.8, (40, 4, 50, 30))]


def test_a_phrase_gets_the_mask_of_what_it_points_at_or_nothing() -> None:
    made, seen = grounder(ScriptedSource(), names()), view(TWO)
    found = made(seen, str(BOTTLE))
    assert found is not None and found.mask[4:30, 40:50].all() and found.mask.sum() == 260
    assert found.sure > 0.5
    assert made(seen, str(ABSENT)) is None and made(view(), str(CUP)) is None
    assert made(seen, " ") is None


def test_closer_looks_are_taken_only_where_the_cheaper_ones_show_nothing_surely() -> None:
    looks = ScriptedSource([Detection(CUP, 0.9, (4, 4, 20, 20))], (30, 30, 60, 60))
    made, seen = grounder(looks, names()), view([TWO[1]])
    found = made(seen, str(BOTTLE))
    assert found is not None and not looks.asked
    found = made(seen, str(CUP))
    assert found is not None and found.mask.sum() == 256 and looks.asked == ["part"] * 5
    made(seen, str(CUP))
    assert len(looks.asked) == 5  # once a view
    found = made(seen, str(ABSENT))
    assert found is not None and found.mask.sum() == 900 and looks.asked[5:] == ["notice"]
    quick = grounder(looks, names(), GroundConfig(closer_looks=False))
    assert quick(seen, str(ABSENT)) is None and len(looks.asked) == 6


def test_a_frame_that_was_only_glanced_at_is_looked_at_as_a_whole() -> None:
    looks = ScriptedSource([Detection(CUP, 0.9, (4, 4, 50, 50))])
    found = grounder(looks, names())(view(), str(CUP))
    assert found is not None and found.mask.sum() == 46 * 46 and looks.asked == ["part"] * 6


def test_the_detector_is_asked_again_only_for_what_it_knows() -> None:
    table = torch.cat([names(1)[:3], names()])  # three classes that are no everyday things
    looks = ScriptedSource()
    blank = np.zeros(len(table), np.float32)
    assert grounder(looks, table)(replace(view(), whole_posterior=blank), "1") is None
    assert looks.asked == ["notice"]


def test_entities_get_what_the_selector_chooses_and_it_is_remembered() -> None:
    table, seen = names(), view(TWO)
    entities = EntityGrounder(grounder(ScriptedSource(), table), cast(Scene, OneName()))
    state = entities.begin(Prompt(Question("What is this?", 0), seen))
    region = entities.ground(state, table[BOTTLE][None])
    assert region is not None and region.mask[4:30, 40:50].all() and region.mask.sum() == 260
    assert float(state.covered.max()) > 0  # later entities know that it was shown
    assert entities.ground(state, table[ABSENT][None]) is None


class OneName:
    """Regions without a name."""

    def names_of(self, view: SceneView, mask: Mask) -> GroundedRegion:
        posterior = np.zeros(CLASSES, np.float32)
        return GroundedRegion(mask, (0, 0, 1, 1), posterior, (Name("", 0.0),), 1.0)

    def point_at(self, view: SceneView, point: Any, box: Any) -> GroundedRegion:
        raise AssertionError("nothing is pointed at")


def test_a_saved_selector_comes_back_and_an_unfit_file_is_refused(tmp_path: Path) -> None:
    selector = RegionSelector(names(), 8)
    torch.nn.init.constant_(selector.level, 0.25)
    save_region_selector(selector, tmp_path / "selector.safetensors")
    again = load_region_selector(names(), tmp_path / "selector.safetensors")
    assert again.level.item() == 0.25 and not again.training
    for wrong in (tmp_path / "none.safetensors", Path(__file__)):
        with pytest.raises(AssetError, match="selector"):
            load_region_selector(names(), wrong)
    with pytest.raises(AssetError, match="selector"):
        load_region_selector(torch.ones(3, 5), tmp_path / "selector.safetensors")


def test_a_phrase_is_embedded_as_words_of_a_sentence() -> None:
    table = torch.arange(12.0).view(6, 2)
    heard: list[str] = []

    def encode(text: str) -> list[int]:
        heard.append(text)
        return [1, 3]

    assert phrase_embedder(table, encode)(" red cup ").tolist() == [4.0, 5.0] and heard == [
        " red cup"
    ]
