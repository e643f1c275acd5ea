"""A full replay with the trained segmenting model that is shipped."""

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from foveal.config.load import parse_config
from foveal.config.models import PixSearchConfig, ReasoningConfig
from foveal.config.schema import Config, SessionConfig, SpeechSettings
from foveal.demo.clip import DemoOptions, render_demo
from foveal.jobs.replay import ReplayRequest, replay
from foveal.output.answer_records import read_answers
from foveal.setup.assistant import trained_finder, trained_model
from perception.scene.reader import SceneView
from reasoning.generation.config import DecodeConfig
from reasoning.generation.grammar import parse
from reasoning.pixsearch.checkpoint import WEIGHTS, read_config
from stream.errors import AssetError, ConfigError
from stream.events import Question
from stream.frame import Frame
from stream.sources.playback import PlaybackOptions

if TYPE_CHECKING:
    from foveal.setup.assistant import Models

pytestmark = pytest.mark.assets
MAX_BYTES = 40_000_000
ASKED = (
    Question("What is this?", 250_000_000, point=(160, 90)),
    Question("What is coffee made from?", 600_000_000),
)


def settings() -> Config:
    limits = DecodeConfig(max_tokens=64)
    return Config(
        session=SessionConfig(max_tracks=2),
        speech=SpeechSettings("none"),
        reasoning=ReasoningConfig(model="pixsearch", decode=limits),
    )


def test_the_shipped_weights_are_small_and_of_a_known_form() -> None:
    assert WEIGHTS.stat().st_size < MAX_BYTES
    assert read_config(WEIGHTS).lora_rank > 0


def test_a_replay_with_the_trained_model(
    models: "Models", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foveal.setup.stages.open_models", lambda config: models)
    options = DemoOptions(seconds=2.0, width=320, height=180, fps=3, seed=3)
    clip = render_demo(tmp_path / "tiny.mp4", options).clip
    request = ReplayRequest(clip, tmp_path / "run", ASKED, PlaybackOptions(rate=0), settings())
    summary = asyncio.run(replay(request))
    assert summary.figures["answers"] == len(ASKED)
    assert summary.figures["refused"].keys() <= {"token limit"}
    answers = list(read_answers(tmp_path / "run" / "answers.jsonl"))
    lines = (tmp_path / "run" / "events.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    heard = "".join(e["data"]["text"] for e in events if e["event"] == "token")
    assert len(heard) >= sum(len(answer.sequence) for answer in answers)
    for answer in answers:
        assert answer.model == "pixsearch-smollm2-135m" and answer.text.strip()
        parse(answer.sequence)
        for span in answer.spans:
            assert answer.text[span.start : span.end].strip() and span.region.box is not None


def test_a_phrase_gets_a_mask_of_the_frame(models: "Models") -> None:
    from skimage import data

    image = data.coffee()[::2, ::2].copy()
    view: SceneView = models.reader.read(Frame(0, 0, image, "coffee"))
    found = trained_finder(models)(view, "cup")
    assert found is not None and found.mask.shape == image.shape[:2] and 0 <= found.sure <= 1
    again = trained_finder(models)(view, "cup")
    assert again is not None and (found.mask == again.mask).all()


def test_weights_that_are_none_are_refused(models: "Models", tmp_path: Path) -> None:
    missing = tmp_path / "none.safetensors"
    with pytest.raises(AssetError, match="none.safetensors"):
        trained_model(models, PixSearchConfig(weights=missing))


def test_the_model_is_chosen_by_settings() -> None:
    config = parse_config({"reasoning": {"model": "pixsearch"}})
    assert config.reasoning.model == "pixsearch"
    assert parse_config({}).reasoning.model == "rules"
    with pytest.raises(ConfigError, match="expected 'rules', as the model 'composed' is called"):
        parse_config({"reasoning": {"model": "composed"}})
