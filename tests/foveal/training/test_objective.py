"""Training a tiny random model: it learns, and a killed run ends like one that was not."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from foveal.training.loop import (
    CHECKPOINT,
    CURVES,
    LoopConfig,
    Rng,
    learning_rate_at,
    run_loop,
    step_rng,
)
from foveal.training.pixsearch.objective import (
    LossWeights,
    TurnExample,
    batch_of,
    losses,
    word_loss,
)
from reasoning.data.records import Entity, Information, SearchCall, Words
from reasoning.pixsearch.checkpoint import load_weights, read_config, save_model, trained_state
from reasoning.pixsearch.lora import merge_lora, without_lora
from reasoning.pixsearch.modeling import PixSearchModel
from reasoning.pixsearch.processing import EncodedTurn, encode_turn
from stream.errors import AssetError, ConfigError, SourceError
from stream.geometry import Rle
from tests.doubles.pixsearch import SMALL, tiny_model, tiny_visual

PIECES = (
    Words("A "),
    Entity("cat", Rle((1, 1), (1,))),
    SearchCall("region", "<region>"),
    Information("Cat", ()),
    Words("."),
)
CONFIG = LoopConfig(
    steps=6, learning_rate=1e-2, warmup_steps=2, eval_every=2, gradient_accumulation=2, seed=3
)


def example(model: PixSearchModel, rng: Rng | None = None) -> TurnExample:
    _, tokenizer = tiny_model()
    turn = encode_turn(tokenizer, "What?", PIECES)
    return TurnExample(tiny_visual(int(rng.integers(1 << 30)) if rng else 0), turn)


def run(folder: Path, stop_after: int | None = None, config: LoopConfig = CONFIG) -> PixSearchModel:
    model, _ = tiny_model()

    def draw(rng: Rng, step: int) -> dict[str, Tensor]:
        return losses(model, [example(model, rng)], LossWeights())

    run_loop(model, draw, config, folder, lambda step: {"seen": step}, stop_after)
    return model


def test_a_resumed_run_ends_like_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole")
    run(tmp_path / "cut", stop_after=2)
    run(tmp_path / "cut", stop_after=4)
    cut = run(tmp_path / "cut")
    for name, tensor in trained_state(whole).items():
        assert torch.equal(tensor, trained_state(cut)[name]), name
    curves = [(tmp_path / kind / CURVES).read_text() for kind in ("whole", "cut")]
    assert curves[0] == curves[1] and curves[0].count("\n") == 4


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    run(tmp_path, stop_after=2)
    with pytest.raises(SourceError, match="another"):
        run(tmp_path, config=LoopConfig(steps=7, eval_every=2))
    assert (tmp_path / CHECKPOINT).is_file()


def test_every_part_learns_and_the_language_model_stays(tmp_path: Path) -> None:
    before, _ = tiny_model()
    base = {n: p.clone() for n, p in before.named_parameters() if not p.requires_grad}
    after = run(tmp_path)
    for name, tensor in trained_state(before).items():
        if "kinds" not in name:
            assert not torch.equal(tensor, trained_state(after)[name]), name
    kept = dict(after.named_parameters())
    assert base and all(torch.equal(tensor, kept[name]) for name, tensor in base.items())


def test_the_loss_falls() -> None:
    model, _ = tiny_model()
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 1e-2)
    values = []
    for _ in range(25):
        terms = losses(model, [example(model)], LossWeights())
        optimiser.zero_grad()
        torch.autograd.backward(terms["loss"])
        optimiser.step()
        values.append({name: float(value.detach()) for name, value in terms.items()})
    for name in ("words", "spans", "loss"):
        assert values[-1][name] < 0.7 * values[0][name], name


def test_evidence_and_padding_change_no_loss() -> None:
    model, words = tiny_model()
    model.eval()
    one = example(model)
    ids = list(one.turn.ids)
    place = ids.index(words.pieces("C")[0][0])  # of the evidence
    longer = encode_turn(words, "What?", (Words("A much longer answer than that."),))
    other = TurnExample(tiny_visual(), longer)
    with torch.inference_mode():
        alone = batch_of(model, [one])
        padded = batch_of(model, [one, other])
        first = model.states(alone.embeddings, alone.known)
        second = model.states(padded.embeddings, padded.known)[:1, : first.shape[1]]
        assert torch.allclose(first, second, atol=1e-5)
        # The evidence token is no target: another one there only shifts what follows it.
        targets = [n for n, learn in zip(ids, one.turn.learnt, strict=True) if learn]
        assert ids[place] not in targets
        value = float(word_loss(model, first, alone, [one]))
        logits = model.logits(first[0]).log_softmax(-1)
    start = alone.starts[0]
    by_hand = [
        float(logits[start + n - 1, token])
        for n, (token, learn) in enumerate(zip(ids, one.turn.learnt, strict=True))
        if learn
    ]
    assert value == pytest.approx(-sum(by_hand) / len(by_hand), rel=1e-4)


def test_adapters_off_is_the_frozen_teacher() -> None:
    model, _ = tiny_model()
    embeddings = torch.randn(1, 5, 32)
    with torch.inference_mode():
        untrained = model.states(embeddings)
    with torch.no_grad():
        for name, parameter in model.lm.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
        trained = model.states(embeddings)
        with without_lora(model.lm):
            frozen = model.states(embeddings)
        again = model.states(embeddings)
    assert not torch.allclose(trained, untrained, atol=1e-3)
    assert torch.equal(frozen, untrained) and torch.equal(again, trained)


def test_weights_are_written_small_and_read_back(tmp_path: Path) -> None:
    model = run(tmp_path / "run", stop_after=2)
    path = tmp_path / "m.safetensors"
    assert save_model(model, path) == path.stat().st_size
    assert read_config(path) == SMALL
    fresh = load_weights(tiny_model(seed=9)[0], path)
    for name, tensor in trained_state(model).items():
        assert torch.allclose(tensor, trained_state(fresh)[name], atol=2e-3, rtol=2e-3), name
    path.write_bytes(b"none")
    with pytest.raises(AssetError):
        read_config(path)
    with pytest.raises(AssetError):
        load_weights(fresh, path)


def test_the_rate_warms_up_and_falls() -> None:
    rates = [
        learning_rate_at(LoopConfig(steps=100, learning_rate=1.0, warmup_steps=10), step)
        for step in range(100)
    ]
    assert rates[0] == pytest.approx(0.1) and max(rates) == pytest.approx(1.0)
    assert rates[10:] == sorted(rates[10:], reverse=True) and rates[-1] < 0.06
    with pytest.raises(ConfigError):
        LoopConfig(steps=0)


def test_a_turn_without_entities_has_no_distance_to_the_teacher() -> None:
    model, words = tiny_model()
    turn: EncodedTurn = encode_turn(words, "Why?", (Words("So."),))
    terms = losses(model, [TurnExample(tiny_visual(), turn)], LossWeights())
    assert set(terms) == {"words", "spans", "teacher", "loss"}
    assert float(terms["teacher"].detach()) == 0.0


def test_recomputing_activations_changes_no_gradient() -> None:
    gradients = []
    for recompute in (False, True):
        model, _ = tiny_model()
        model.train()
        if recompute:
            model.lm.gradient_checkpointing_enable()
        torch.autograd.backward(losses(model, [example(model)], LossWeights())["loss"])
        learnt = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
        gradients.append(learnt)
    assert gradients[0].keys() == gradients[1].keys() and len(gradients[0]) > 30
    for name, gradient in gradients[0].items():
        assert torch.allclose(gradient, gradients[1][name], atol=1e-5), name


class Halves:
    """One of two processes that train in turns here: the other one's gradients are made up."""

    count = 2

    def __init__(self, rank: int) -> None:
        self.rank = rank

    def total(self, gradients: Sequence[Tensor]) -> Sequence[Tensor]:
        return [gradient * 2 for gradient in gradients]

    def everyone(self, terms: Mapping[str, float]) -> Sequence[Mapping[str, float]]:
        return [terms, {"other": 1.0}]

    def wait(self) -> None:
        return None


def test_a_process_takes_its_own_parts_and_only_the_first_one_writes(tmp_path: Path) -> None:
    model, _ = tiny_model()
    drawn: list[int] = []

    def draw(rng: Rng, step: int) -> dict[str, Tensor]:
        drawn.append(int(rng.integers(1 << 30)))
        return losses(model, [example(model, rng)], LossWeights())

    for rank in (0, 1):
        run_loop(
            model, draw, replace(CONFIG, steps=1), tmp_path / str(rank), processes=Halves(rank)
        )
    expected = [int(step_rng(CONFIG.seed, 0, part).integers(1 << 30)) for part in (0, 1)]
    assert drawn == expected
    assert [(tmp_path / str(rank) / CURVES).is_file() for rank in (0, 1)] == [True, False]
    assert "other" in (tmp_path / "0" / CURVES).read_text()
    with pytest.raises(ConfigError, match="multiple of the 2"):
        run_loop(model, draw, LoopConfig(gradient_accumulation=3), tmp_path, processes=Halves(0))


def test_merged_adapters_say_the_same() -> None:
    model, _ = tiny_model(2)
    with torch.no_grad():
        for name, parameter in model.lm.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    rows = torch.randn(1, 5, 32)
    with torch.inference_mode():
        before = model.states(rows)
        with without_lora(model.lm):
            plain = model.states(rows)
        merge_lora(model.lm)
        after = model.states(rows)
    assert torch.allclose(before, after, atol=1e-5)
    assert not torch.allclose(plain, after, atol=1e-2)
    assert not [name for name, _ in model.lm.named_parameters() if "lora_B" in name]
