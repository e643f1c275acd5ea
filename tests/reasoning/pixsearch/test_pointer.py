"""The pointer: a sensible choice before training, a better one after it, and none where none is."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from perception.backbone import Features
from perception.detector import Detection
from perception.naming import Name
from perception.recogniser import EVERYDAY
from perception.scene import GroundedRegion, SceneView
from reasoning.pixsearch.checkpoint import load_weights, read_config, save_model
from reasoning.pixsearch.fakes import SMALL, tiny_model
from reasoning.pixsearch.grounding import Grounder, Span
from reasoning.pixsearch.offers import closer_offers, offers_of, windows
from reasoning.pixsearch.pointer import (
    DETECTED,
    LOOKED,
    OWN,
    PROPOSED,
    TRACES,
    Pointer,
    Shown,
    overlaps,
    traces,
)
from reasoning.settings import GroundConfig
from stream.errors import AssetError
from stream.frame import Frame, Image, Mask
from stream.masks import Box

POINTING = replace(SMALL, pointer=8)
CLASSES = len(EVERYDAY)
CUP, BOTTLE = (
    next(n for n, names in enumerate(EVERYDAY) if names[0] == w) for w in ("cup", "bottle")
)


def names(seed: int = 0) -> Tensor:
    """Every everyday name has a word embedding of its own."""
    return torch.randn(CLASSES, 64, generator=torch.Generator().manual_seed(seed))


def shown(labels: Sequence[int], boxes: Sequence[Sequence[float]] | None = None) -> Shown:
    places = boxes or [[0.1 * n, 0.1, 0.1 * n + 0.08, 0.3] for n in range(len(labels))]
    posteriors = torch.zeros(len(labels), CLASSES)
    posteriors[range(len(labels)), list(labels)] = 0.9
    kinds = tuple(DETECTED for _ in labels)
    return Shown(posteriors, torch.tensor(places), torch.full((len(labels),), 0.9), kinds)


def view(detections: Sequence[Detection] = (), size: tuple[int, int] = (64, 64)) -> SceneView:
    features = Features(torch.zeros(8, 8, 8), torch.zeros(12, 2, 2), size)
    frame = Frame(0, 0, np.full((*size, 3), 90, np.uint8), "test")
    blank = np.zeros(CLASSES, np.float32)
    return SceneView(frame, features, (), (Name("nothing", 0.0),), blank, tuple(detections))


@pytest.mark.parametrize("label", [0, 7, 41])
def test_before_training_a_name_points_at_what_carries_it(label: int) -> None:
    table = names()
    pointer = Pointer(table, 8)
    fits = pointer.fits(torch.randn(1, 64), table[label][None])[0].detach()
    assert int(fits.argmax()) == label and float(fits.sigmoid()[label]) > 0.9
    things = shown([3, label, 5])
    expected = pointer(fits, things, torch.zeros(3, TRACES)).sigmoid()
    assert int(expected.argmax()) == 1 and float(expected.detach()[1]) > 0.8
    absent = pointer(fits, shown([3, 5]), torch.zeros(2, TRACES)).sigmoid()
    assert float(absent.detach().max()) < 0.1


def test_the_pointer_learns_which_of_two_alike_is_meant() -> None:
    """By what the dense decoder sees in them: nothing else tells them apart."""
    torch.manual_seed(0)
    table = names()
    pointer = Pointer(table, 8)
    optimiser = torch.optim.Adam(pointer.parameters(), 2e-2)
    things = shown([CUP, CUP], [[0.1, 0.1, 0.3, 0.3], [0.6, 0.1, 0.8, 0.3]])
    word, state = table[CUP][None], torch.randn(1, 64)
    for step in range(60):
        bright = step % 2
        seen = torch.zeros(2, TRACES)
        seen[bright, 0] = 1.0
        logits = pointer(pointer.fits(state, word)[0], things, seen)
        loss = torch.nn.functional.cross_entropy(logits[None], torch.tensor([bright]))
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
    for bright in (0, 1):
        seen = torch.zeros(2, TRACES)
        seen[bright, 0] = 1.0
        assert int(pointer(pointer.fits(state, word)[0], things, seen).argmax()) == bright


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(*(st.floats(0, 1) for _ in range(4))), min_size=1, max_size=6))
def test_any_boxes_have_finite_traces_and_overlaps(corners: list[tuple[float, ...]]) -> None:
    boxes = torch.tensor([[min(a, c), min(b, d), max(a, c), max(b, d)] for a, b, c, d in corners])
    soft = torch.rand(7, 9)
    seen = traces(soft, torch.zeros(3, 4), 0.5, boxes)
    assert seen.shape == (len(corners), TRACES) and bool(torch.isfinite(seen).all())
    assert bool(((seen >= 0) & (seen <= 1.001)).all())
    both = overlaps(boxes)
    assert bool(torch.allclose(both, both.T)) and float(both.max()) <= 1.0001


def test_what_lies_in_the_box_is_what_is_seen_there() -> None:
    soft = torch.zeros(8, 8)
    soft[2:4, 4:8] = 0.5
    seen = traces(soft, torch.ones(2, 2), 0.7, torch.tensor([[0.5, 0.25, 1, 0.5], [0, 0.5, 1, 1]]))
    assert seen[0].tolist() == pytest.approx([0.5, 1.0, 0.5, 0.7, 1.0])
    assert seen[1].tolist() == pytest.approx([0.0, 0.0, 0.0, 0.7, 1.0])


def test_offers_are_the_detections_and_then_the_things_of_a_view() -> None:
    seen = [Detection(CUP, 0.8, (0, 0, 16, 32)), Detection(BOTTLE, 0.05, (0, 0, 9, 9))]
    mask = np.zeros((64, 64), bool)
    mask[32:48, 8:24] = True
    posterior = np.zeros(CLASSES, np.float32)
    posterior[BOTTLE] = 0.6
    region = GroundedRegion(mask, (8, 32, 24, 48), posterior, (Name("bottle", 0.6),), 0.5)
    offers = offers_of(replace(view(seen), things=(region,)))
    assert [thing.box for thing in offers.things] == [(0, 0, 16, 32), (8, 32, 24, 48)]
    assert offers.shown.sources == (DETECTED, PROPOSED)
    assert float(offers.shown.posteriors[0, CUP]) == pytest.approx(0.8)
    assert offers.shown.boxes[1].tolist() == [0.125, 0.5, 0.375, 0.75]
    assert not offers_of(view()).things


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

    offers = closer_offers(frame, detect)
    assert len(calls) == len(windows((64, 64))) == 5 and calls[0].shape == (32, 32, 3)
    assert [thing.box for thing in offers.things] == [(2, 3, 12, 20)]
    assert offers.shown.sources == (LOOKED,)


class Boxes:
    """A cutter that fills boxes."""

    def from_box(self, image: Image, box: Box) -> Mask:
        mask = np.zeros(image.shape[:2], bool)
        mask[box[1] : box[3], box[0] : box[2]] = True
        return mask

    def from_point(self, image: Image, point: Any, features: Any) -> Mask:
        raise AssertionError("nothing is pointed at")

    def sharpen(self, image: Image, mask: Mask, box: Box | None = None) -> Mask:
        return mask


class Named:
    """Regions without a name."""

    def names_of(self, view: SceneView, mask: Mask) -> GroundedRegion:
        posterior = np.zeros(CLASSES, np.float32)
        return GroundedRegion(mask, (0, 0, 1, 1), posterior, (Name("", 0.0),), 1.0)

    def point_at(self, view: SceneView, point: Any, box: Any) -> GroundedRegion:
        raise AssertionError("nothing is pointed at")


def grounder(detect: Any = None) -> tuple[Grounder, Tensor]:
    """A grounder whose dense decoder sees nothing, and its names."""
    model, _ = tiny_model(config=SMALL)
    table = names()
    made = Grounder(model.masks, Named(), GroundConfig(), None, Pointer(table, 8), Boxes(), detect)
    made._decode = lambda *args: (np.zeros((16, 16), np.float32), 0.1)  # type: ignore[method-assign]
    return made, table


def span(table: Tensor, label: int) -> Span:
    return Span(torch.zeros(1, 8), torch.randn(1, 64), table[label][None])


def test_a_span_gets_the_mask_of_what_it_points_at_or_nothing() -> None:
    made, table = grounder()
    seen = view([Detection(CUP, 0.9, (4, 4, 20, 30)), Detection(BOTTLE, 0.8, (40, 4, 50, 30))])
    state = made.begin_view(seen)
    region = made.ground(state, span(table, BOTTLE))
    assert region is not None and region.mask[4:30, 40:50].all() and region.mask.sum() == 260
    assert float(state.covered.max()) > 0  # later spans know that it was shown
    absent = next(n for n in range(CLASSES) if n not in (CUP, BOTTLE))
    assert made.ground(state, span(table, absent)) is None
    assert made.ground(made.begin_view(view()), span(table, CUP)) is None


def test_parts_are_looked_at_only_where_the_whole_shows_nothing_surely() -> None:
    calls: list[int] = []

    def detect(part: Image) -> list[Detection]:
        calls.append(1)
        return [Detection(CUP, 0.9, (4, 4, 20, 20))] if len(calls) == 1 else []

    made, table = grounder(detect)
    state = made.begin_view(view([Detection(BOTTLE, 0.9, (40, 4, 50, 30))]))
    assert made.choose(state, span(table, BOTTLE)).mask.sum() == 260 and not calls
    choice = made.choose(state, span(table, CUP))
    assert len(calls) == 5 and choice.mask.sum() == 256 and choice.sure > 0.5
    made.choose(state, span(table, CUP))
    assert len(calls) == 5  # once a view


def test_the_decoders_own_mask_is_one_of_the_things() -> None:
    made, _ = grounder()
    soft = np.zeros((16, 16), np.float32)
    soft[4:12, 4:12] = 1
    own = made.own_offer(view(), soft, 0.6)
    assert own is not None and own.shown.sources == (OWN,)
    assert own.things[0].mask is not None and own.things[0].mask[24:40, 24:40].all()
    assert made.own_offer(view(), np.zeros((16, 16), np.float32), 0.6) is None


def test_weights_without_a_pointer_still_load_and_those_with_one_keep_it(tmp_path: Path) -> None:
    old, _ = tiny_model(1)
    save_model(old, tmp_path / "old.safetensors")
    assert read_config(tmp_path / "old.safetensors").pointer == 0
    model, _ = tiny_model(2, POINTING)
    assert model.pointer is not None
    torch.nn.init.ones_(model.pointer.level)
    save_model(model, tmp_path / "new.safetensors")
    again, _ = tiny_model(3, read_config(tmp_path / "new.safetensors"))
    load_weights(again, tmp_path / "new.safetensors")
    assert again.pointer is not None and float(again.pointer.level) == 1.0
    with pytest.raises(AssetError, match="pointer"):
        load_weights(again, tmp_path / "old.safetensors")
    # Parts of an older file are taken by name.
    load_weights(again, tmp_path / "old.safetensors", ("masks", "project"))
