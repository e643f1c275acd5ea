"""Whole replays with a vision-language model of each family.

The networks are random, but for weights by which they look something up and end; see
tests/doubles/vlm_random.py.
"""

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

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
from tests.doubles.vlm_random import FAMILIES, look_up, save

if TYPE_CHECKING:
    from foveal.setup.assistant import Models

pytestmark = pytest.mark.assets
ASKED = (
    Question("What is this?", 250_000_000, point=(160, 90)),
    Question("What is it made of?", 600_000_000),
)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of the demo's script."""
    options = DemoOptions(seconds=1.0, width=320, height=180, fps=3, seed=3)
    return render_demo(tmp_path_factory.mktemp("vlm") / "tiny.mp4", options).clip


def settings(folder: Path) -> Config:
    limits = VlmConfig(device="cpu", max_pixels=64 * 64, grounding="thousandths")
    reasoning = ReasoningConfig(model=f"hf:{folder}", vlm=limits)
    return Config(
        session=SessionConfig(max_tracks=2), speech=SpeechSettings("none"), reasoning=reasoning
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_a_replay(
    models: "Models", clip: Path, family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foveal.setup.stages.open_models", lambda config: models)
    save(family, tmp_path / family, look_up(family))
    request = ReplayRequest(
        clip, tmp_path / "run", ASKED, PlaybackOptions(rate=0), settings(tmp_path / family)
    )
    load_backend.cache_clear()
    summary = asyncio.run(replay(request))
    opened = load_backend.cache_info().misses
    load_backend.cache_clear()
    assert opened == 1  # not once more for the session
    assert summary.figures["answers"] == len(ASKED) and not summary.figures["refused"]
    answers = list(read_answers(tmp_path / "run" / "answers.jsonl"))
    assert [answer.model for answer in answers] == [family] * len(ASKED)
    for answer in answers:
        parse(answer.sequence)
        assert answer.text.startswith("I see the cat") and answer.text.endswith("It is a cat.")
        (search,) = answer.searches
        assert search.kind == "region" and search.evidence
        (span,) = answer.spans
        assert answer.text[span.start : span.end] == "the cat" and span.region.box is not None
    lines = (tmp_path / "run" / "events.jsonl").read_text().splitlines()
    told = [json.loads(line) for line in lines]
    forced = [one for one in told if one["event"] == "token" and one["data"]["forced"]]
    assert forced  # evidence is in the sequence
