"""Training on the lower half's kept states gives the losses of the whole model."""

import dataclasses

import pytest
import torch

from foveal.training.pixsearch.frozen_prefix_cache import UPPER, SplitModel
from foveal.training.pixsearch.objective import LossWeights, TurnExample, losses
from reasoning.data.records import Entity, SearchCall, Words
from reasoning.data.records import Information as Info
from reasoning.pixsearch.modeling import PixSearchModel
from reasoning.pixsearch.processing import encode_turn
from stream.geometry import Rle
from tests.doubles.pixsearch import SMALL, tiny_model, tiny_visual

MASK = Rle((1, 1), (0, 1))
WEIGHTS = LossWeights(teacher=0.5)


@pytest.fixture(scope="module")
def made() -> tuple[PixSearchModel, list[TurnExample]]:
    """Adapters in the second of two layers, and turns of different length."""
    model, words = tiny_model(config=dataclasses.replace(SMALL, first_layer=1))
    for name, parameter in model.lm.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    cat = Entity(" cat", MASK)
    told = (SearchCall("region", "<region>"), Info("Cat: eats mice", ("1",)), Words(" eats mice."))
    turns = [
        encode_turn(words, "What?", (Words("The"), cat, Words("."))),
        encode_turn(words, "What does it eat?", (Words("The"), cat, *told)),
    ]
    return model, [TurnExample(tiny_visual(n), turn) for n, turn in enumerate(turns)]


def test_halves_make_the_whole(made: tuple[PixSearchModel, list[TurnExample]]) -> None:
    model, examples = made
    halves = SplitModel(model)
    reads = [halves.read(example) for example in examples]
    whole = losses(model, examples, dataclasses.replace(WEIGHTS, teacher=0.0))
    parts = halves.losses(reads, WEIGHTS)
    # Embeddings and teacher are kept in half precision.
    assert float(parts["words"]) == pytest.approx(float(whole["words"]), abs=2e-3)
    assert float(parts["spans"]) == pytest.approx(float(whole["spans"]), abs=2e-3)
    assert float(parts["teacher"]) == pytest.approx(0.0, abs=1e-5)


def test_only_the_upper_half_learns_and_drifting_spans_cost(
    made: tuple[PixSearchModel, list[TurnExample]],
) -> None:
    model, examples = made
    halves = SplitModel(model)
    reads = [halves.read(example) for example in examples]
    model.zero_grad()
    torch.autograd.backward(halves.losses(reads, WEIGHTS)["loss"])
    moved = {n.split(".")[0] for n, p in model.named_parameters() if p.grad is not None}
    assert moved == set(UPPER)
    before = [p.detach().clone() for p in model.lm.parameters() if p.requires_grad]
    with torch.no_grad():
        for parameter in model.lm.parameters():
            if parameter.requires_grad:
                parameter.add_(0.2)
        drifted = float(halves.losses(reads, WEIGHTS)["teacher"])
        for parameter, old in zip(
            (p for p in model.lm.parameters() if p.requires_grad), before, strict=True
        ):
            parameter.copy_(old)
    assert drifted > 1e-3
