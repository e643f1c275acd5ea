"""`foveal train intents`: a file of examples in, weights out."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from foveal.cli import main
from reasoning.rules.intents import INTENTS, IntentClassifier, load_weights

if TYPE_CHECKING:
    from foveal.setup.assistant import Models

QUESTIONS = {
    "identify": ("What is this?", "Name that thing."),
    "describe": ("What do you see?", "Describe the room."),
    "locate": ("Where is the cup?", "Find my keys."),
    "read": ("What does the sign say?", "Read the page."),
    "present": ("Is there a dog?", "Do you see a cat?"),
    "count": ("How many chairs are there?", "Count the cups."),
    "look": ("What colour is the car?", "What shape is the plate?"),
    "state": ("Is the door open?", "Is the lamp switched on?"),
    "thing_fact": ("When was this made?", "Who invented it?"),
    "fact": ("Who wrote Faust?", "How tall is the Eiffel Tower?"),
    "personal": ("What is my name?", "Who am I meeting today?"),
    "talk": ("Hello there!", "Thank you very much."),
}


@pytest.fixture
def loaded(models: "Models", monkeypatch: pytest.MonkeyPatch) -> "Models":
    """The models of the whole run, in place of loading them again."""
    monkeypatch.setattr("foveal.setup.assistant.load_language_model", lambda: models.lm)
    encoder = models.searcher.encoder
    monkeypatch.setattr("foveal.setup.retrieval.search.load_encoder", lambda: encoder)
    return models


@pytest.mark.assets
def test_weights_are_fitted_written_and_read(
    loaded: "Models", tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "mine.yaml", tmp_path / "new" / "mine.safetensors"
    source.write_text(json.dumps(QUESTIONS))  # JSON is YAML
    assert main(["train", "intents", "--data", str(source), "--out", str(out), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["questions"] == 2 * len(INTENTS) and figures["file"] == str(out)
    assert 0 <= figures["leave_one_out_accuracy"] <= 1
    made = IntentClassifier(loaded.lm, loaded.searcher.encoder, load_weights(out))
    for intent, texts in QUESTIONS.items():
        scores = made.scores(texts[0])
        assert max(scores, key=lambda name: scores[name]) == intent


@pytest.mark.parametrize("text", [None, "identify: [What?]", "a: ["])
def test_examples_of_another_form_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None
) -> None:
    source = tmp_path / "mine.yaml"
    if text is not None:
        source.write_text(text)
    assert main(["train", "intents", "--data", str(source)]) == 1
    assert capsys.readouterr().err.startswith("foveal: ConfigError: expected a YAML list")
