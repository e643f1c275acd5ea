"""A session on SAM 2: random weights on disk, named in a settings file, a whole replay."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from foveal.config.load import load_config, parse_config
from foveal.config.models import MaskletSettings
from foveal.config.schema import Config
from foveal.demo.clip import DemoOptions, render_demo
from foveal.jobs.replay import ReplayRequest, replay
from foveal.output.answer_records import read_answers
from foveal.setup.stages import load_stages
from perception.sam2_tracking.tracker import Sam2Tracker
from stream.errors import ConfigError
from stream.events import Question
from stream.sources.playback import PlaybackOptions
from stream.timing.trace import Tracer
from tests.doubles.sam2_random import random_model, tiny_config, tiny_edgetam_config

if TYPE_CHECKING:
    from foveal.setup.assistant import Models

TINY = DemoOptions(seconds=3.0, width=320, height=180, fps=4, seed=3)


@pytest.fixture
def shared_models(models: "Models", monkeypatch: pytest.MonkeyPatch) -> None:
    """Replays take the models that the whole run of the tests has loaded."""
    monkeypatch.setattr("foveal.setup.stages.open_models", lambda config: models)


@pytest.mark.assets
@pytest.mark.usefixtures("shared_models")
@pytest.mark.parametrize("kind", ["sam2", "edgetam"])
def test_a_whole_replay_on_the_tracker_that_a_file_names(kind: str, tmp_path: Path) -> None:
    config = tiny_config(64, 64) if kind == "sam2" else tiny_edgetam_config(64, 64)
    random_model(config, seed=1).save_pretrained(tmp_path / "weights")
    path = tmp_path / "mine.yaml"
    path.write_text(
        f"profile: edge\nmasklets:\n  tracker: {kind}:{tmp_path / 'weights'}\n"
        "session:\n  max_tracks: 2\nspeech:\n  backend: none\n"
    )
    settings = load_config(path)
    stages = load_stages(settings)(Tracer())
    tracker = stages.masklets._tracker
    assert isinstance(tracker, Sam2Tracker) and tracker.networks.edge == (kind == "edgetam")
    assert tracker.config.max_tracks == 2 and tracker.config.reidentify
    clip = render_demo(tmp_path / "tiny.mp4", TINY).clip
    asked = (Question("What is this?", 250_000_000), Question("Where is the cup?", 900_000_000))
    request = ReplayRequest(
        clip, tmp_path / "out", asked, PlaybackOptions(rate=0), settings, video=False
    )
    summary = asyncio.run(replay(request))
    assert summary.figures["frames"] == 12 and summary.figures["answers"] == 2
    assert "bad frame" not in summary.figures["refused"]
    assert summary.stages["tracker"]["count"] > 0
    answers = read_answers(tmp_path / "out" / "answers.jsonl")
    assert all(span.region.track_id > 0 for answer in answers for span in answer.spans)


def test_profiles_name_their_trackers() -> None:
    assert Config().masklets == MaskletSettings("embedded")
    assert load_config("edge").masklets.tracker.startswith("edgetam:")
    assert load_config("server").masklets.tracker.startswith("sam2:")


@pytest.mark.parametrize("name", ["magic", "sam2:", "sam2", "edgetam", ":x", ""])
def test_unknown_trackers_are_refused_by_key(name: str) -> None:
    with pytest.raises(ConfigError, match="masklets: expected a tracker embedded"):
        parse_config({"masklets": {"tracker": name}})
    with pytest.raises(ConfigError, match="masklets: expected an image_size"):
        parse_config({"masklets": {"image_size": 100}})


def test_a_limit_of_no_masklets_still_opens(tmp_path: Path) -> None:
    from foveal.setup.trackers import open_sam2

    random_model(tiny_config(64, 64), seed=1).save_pretrained(tmp_path)
    tracker = open_sam2(MaskletSettings(f"sam2:{tmp_path}", precision="float32"), 0)
    assert tracker.config.max_tracks == 1
