"""Whole replays with models that have masks of their own: Sa2VA of both families, and SAMTok.

Their networks are random, but for weights by which they look something up and end.
"""

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from foveal.config.models import ReasoningConfig
from foveal.config.schema import Config, SessionConfig, SpeechSettings
from foveal.demo.clip import DemoOptions, render_demo
from foveal.jobs.replay import ReplayRequest, replay
from foveal.output.answer_records import read_answers
from foveal.setup.backends import load_backend
from reasoning.generation.config import VlmConfig
from reasoning.generation.grammar import parse
from stream.events import Question
from stream.sources.playback import PlaybackOptions
from tests.doubles.vlm_random import mask_codes, save
from tests.reasoning.segmenting.published_keys import published_encoder
from tests.reasoning.segmenting.published_samtok import build
from tests.reasoning.segmenting.tiny_internvl import save_sa2va_internvl
from tests.reasoning.segmenting.tiny_models import save_sa2va

if TYPE_CHECKING:
    from foveal.setup.assistant import Models

pytestmark = pytest.mark.assets
ASKED = (Question("What is this?", 250_000_000, point=(160, 90)),)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of the demo's script."""
    options = DemoOptions(seconds=1.0, width=320, height=180, fps=3, seed=3)
    return render_demo(tmp_path_factory.mktemp("segmenting") / "tiny.mp4", options).clip


def make(kind: str, folder: Path, data: Path, patch: pytest.MonkeyPatch) -> str:
    """A checkpoint in its published container; returns its name for `reasoning.model`."""
    if kind == "samtok":
        save("qwen3_vl", folder, mask_codes("qwen3_vl"))
        torch.save(build().state_dict(), folder / "mask_tokenizer_256x2.pth")
        return f"samtok:{folder}"
    grounding = published_encoder(data, patch)
    if kind == "internvl":
        save_sa2va_internvl(folder, grounding, scripted=True)
    else:
        save_sa2va(folder, grounding, scripted=True)
    return f"sa2va:{folder}"


@pytest.mark.parametrize("kind", ["qwen", "internvl", "samtok"])
def test_a_replay(
    models: "Models",
    clip: Path,
    kind: str,
    shared_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("foveal.setup.stages.open_models", lambda config: models)
    limits = VlmConfig(device="cpu", dtype="float32", max_pixels=64 * 64)
    name = make(kind, tmp_path / "tiny", shared_data, monkeypatch)
    config = Config(
        session=SessionConfig(max_tracks=2),
        speech=SpeechSettings("none"),
        reasoning=ReasoningConfig(model=name, vlm=limits),
    )
    request = ReplayRequest(clip, tmp_path / "run", ASKED, PlaybackOptions(rate=0), config)
    summary = asyncio.run(replay(request))
    load_backend.cache_clear()
    assert summary.figures["answers"] == 1 and not summary.figures["refused"]
    (answer,) = read_answers(tmp_path / "run" / "answers.jsonl")
    parse(answer.sequence)
    assert answer.model == "tiny" and answer.text == "I see a cat It is a cat."
    (search,) = answer.searches
    assert search.kind == "region" and search.evidence
    (span,) = answer.spans
    assert answer.text[span.start : span.end] == "a cat" and span.region.box is not None
    lines = (tmp_path / "run" / "events.jsonl").read_text().splitlines()
    told = [json.loads(line) for line in lines]
    assert any(one["event"] == "token" and one["data"]["forced"] for one in told)
