"""The intent classifier: its examples, its weights on disk, and questions it was not fitted on."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest
import torch

from reasoning.rules.intents import (
    INTENTS,
    WEIGHTS,
    Intent,
    IntentClassifier,
    IntentWeights,
    fit,
    load_weights,
    read_examples,
    save_weights,
)
from reasoning.vlm.causal_lm import CausalLm
from stream.errors import AssetError, ConfigError
from tests.doubles.retrieval import HashEncoder

if TYPE_CHECKING:
    from foveal.setup.assistant import Models

WIDTH = 16


class LengthLm:
    """A hidden state that knows how long the text is and how it ends."""

    def hidden(self, texts: Sequence[str], layer: int) -> torch.Tensor:
        rows = [
            [float(len(text)), *map(float, text[-WIDTH + 1 :].encode()[-WIDTH + 1 :])]
            for text in texts
        ]
        return torch.tensor([row[:WIDTH] for row in rows])


def classifier(examples: Sequence[tuple[str, Intent]]) -> tuple[IntentClassifier, float]:
    lm = cast(CausalLm, LengthLm())
    weights, accuracy = fit(examples, lm, HashEncoder())
    return IntentClassifier(lm, HashEncoder(), weights), accuracy


def test_examples_cover_every_intent_and_are_told_apart() -> None:
    examples = read_examples()
    assert {intent for _, intent in examples} == set(INTENTS)
    assert all(sum(one == intent for _, one in examples) >= 5 for intent in INTENTS)
    assert len({text.lower() for text, _ in examples}) == len(examples)


def test_what_was_fitted_is_known() -> None:
    examples = read_examples()[::3]
    made, accuracy = classifier(examples)
    scores = [made.scores(text) for text, _ in examples]
    right = [
        max(s, key=lambda k: s[k]) == intent
        for s, (_, intent) in zip(scores, examples, strict=True)
    ]
    assert sum(right) > 0.95 * len(right)
    assert 0.2 < accuracy < 1.0  # leave-one-out, far above one in nine
    for row in scores:
        assert list(row) == list(INTENTS)
        assert sum(row.values()) == pytest.approx(1.0)
        assert all(0 <= value <= 1 for value in row.values())


@pytest.mark.parametrize(
    "question", ["", "?", "这是什么？", "x" * 100_000, "<|im_start|>", "\ud800"]
)
def test_any_question_is_scored(question: str) -> None:
    made, _ = classifier(read_examples()[::8])
    scores = made.scores(question)
    assert sum(scores.values()) == pytest.approx(1.0)
    assert made.scores(question) == scores


def test_weights_come_back_as_they_were(tmp_path: Path) -> None:
    lm = cast(CausalLm, LengthLm())
    weights, _ = fit(read_examples()[::8], lm, HashEncoder())
    path = tmp_path / "new" / "weights.safetensors"
    save_weights(weights, path)
    read = load_weights(path)
    assert read.patterns == weights.patterns
    assert np.array_equal(read.matrix, weights.matrix)
    assert np.array_equal(read.centre, weights.centre)


def test_the_shipped_weights_fit() -> None:
    weights = load_weights()
    assert weights.matrix.shape[1] == len(INTENTS)
    # Patterns, sentence embedding, hidden state, one for pointing.
    assert weights.matrix.shape[0] == len(weights.patterns) + 384 + len(weights.centre) + 1
    assert np.isfinite(weights.matrix).all() and np.isfinite(weights.centre).all()


@pytest.mark.parametrize("damage", ["absent", "empty", "cut", "text", "other"])
def test_damaged_weights_are_refused_with_what_to_do(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "weights.safetensors"
    whole = WEIGHTS.read_bytes()
    if damage == "other":
        save_weights(
            IntentWeights(("a",), np.zeros((3, 2), np.float32), np.zeros(1, np.float32)), path
        )
    elif damage != "absent":
        path.write_bytes(
            {"empty": b"", "cut": whole[: len(whole) // 2], "text": b"hello" * 99}[damage]
        )
    with pytest.raises(AssetError, match="run `foveal train intents`"):
        load_weights(path)


@pytest.mark.parametrize("text", [None, "", "- a\n- b", "identify: [What?]", "a: [", "identify: 3"])
def test_an_example_file_of_another_form_is_refused(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "mine.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match="expected a YAML list of questions for each of identify"):
        read_examples(path)


HELD_OUT: tuple[tuple[str, Intent], ...] = (
    ("What's that object over there?", "identify"),
    ("Could you tell me which fruit I am holding?", "identify"),
    ("What can be seen in this photo?", "describe"),
    ("Where did I leave the umbrella?", "locate"),
    ("Could you find my scissors?", "locate"),
    ("What is written on that billboard?", "read"),
    ("Read that label out to me.", "read"),
    ("Is there a kettle in view?", "present"),
    ("How many plates can you make out?", "count"),
    ("When was this thing first invented?", "thing_fact"),
    ("What are they made out of?", "thing_fact"),
    ("Who wrote King Lear?", "fact"),
    ("How high is Mount Kilimanjaro?", "fact"),
    ("When is my sister's birthday?", "personal"),
)


@pytest.mark.assets
def test_held_out_questions_are_understood(models: "Models") -> None:
    made = IntentClassifier(models.lm, models.searcher.encoder, load_weights())
    known = {text for text, _ in read_examples()}
    assert not known & {text for text, _ in HELD_OUT}
    wrong = []
    for text, intent in HELD_OUT:
        scores = made.scores(text)
        if max(scores, key=lambda name: scores[name]) != intent:
            wrong.append((text, intent, scores))
    assert len(wrong) <= 2, wrong
