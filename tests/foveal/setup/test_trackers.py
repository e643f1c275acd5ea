"""A session on SAM 2: random weights on disk, named in a settings file, a whole replay."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from foveal.cli import main
from foveal.config.load import load_config, parse_config
from foveal.config.models import MaskletSettings
from foveal.config.schema import Config
from foveal.demo.clip import DemoOptions, render_demo
from foveal.jobs.replay import ReplayRequest, replay
from foveal.output.answer_records import read_answers
from foveal.setup.stages import load_stages
from perception.sam2_tracking.state import Sam2Config
from perception.sam2_tracking.tracker import Sam2Tracker
from stream.errors import AssetError, ConfigError
from stream.events import Question
from stream.sources.playback import PlaybackOptions
from stream.timing.trace import Tracer
from tests.doubles.sam2_random import random_model, tiny_config, tiny_edgetam_config
from tests.doubles.sam3_random import random_tracker_model, tiny_tracker_config

if TYPE_CHECKING:
    from foveal.setup.assistant import Models

TINY = DemoOptions(seconds=3.0, width=320, height=180, fps=4, seed=3)


@pytest.fixture
def shared_models(models: "Models", monkeypatch: pytest.MonkeyPatch) -> None:
    """Replays take the models that the whole run of the tests has loaded."""
    monkeypatch.setattr("foveal.setup.stages.open_models", lambda config: models)


def random_weights(kind: str) -> Any:
    if kind == "sam3":
        return random_tracker_model(tiny_tracker_config(56, 64), seed=1)
    return random_model((tiny_config if kind == "sam2" else tiny_edgetam_config)(64, 64), seed=1)


@pytest.mark.assets
@pytest.mark.usefixtures("shared_models")
@pytest.mark.parametrize("kind", ["sam2", "edgetam", "sam3"])
def test_a_whole_replay_on_the_tracker_that_a_file_names(kind: str, tmp_path: Path) -> None:
    random_weights(kind).save_pretrained(tmp_path / "weights")
    path = tmp_path / "mine.yaml"
    path.write_text(
        f"profile: edge\nmasklets:\n  tracker: {kind}:{tmp_path / 'weights'}\n"
        "session:\n  max_tracks: 2\nspeech:\n  backend: none\nreasoning:\n  model: rules\n"
    )
    settings = load_config(path)
    stages = load_stages(settings)(Tracer())
    tracker = stages.masklets._tracker
    assert isinstance(tracker, Sam2Tracker) and tracker.networks.kind == kind
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


@pytest.mark.parametrize(
    "wrong",
    [
        {"fill_hole_area": -1},
        {"fill_hole_area": 65_537},
        {"clip_frames": 0},
        {"resize": "nearest"},
    ],
)
def test_settings_of_sam_2_are_held_to_their_bounds(wrong: dict[str, Any]) -> None:
    (key,) = wrong
    with pytest.raises(ConfigError, match=key):
        parse_config({"masklets": wrong})


def test_settings_of_sam_2_reach_the_tracker(tmp_path: Path) -> None:
    from foveal.setup.trackers import open_sam2

    random_weights("sam2").save_pretrained(tmp_path)
    told = {"fill_hole_area": 3, "clip_frames": 9, "resize": "bilinear"}
    plain = {"tracker": f"sam2:{tmp_path}", "precision": "float32"}
    given = open_sam2(parse_config({"masklets": plain | told}).masklets, 1)
    assert {key: getattr(given.config, key) for key in told} == told
    assert given.networks._upload._resize == "bilinear"
    usual = open_sam2(parse_config({"masklets": plain}).masklets, 1).config
    assert all(getattr(usual, key) == getattr(Sam2Config(), key) for key in told)
    with pytest.raises(ConfigError, match="fill_hole_area of 0 or more"):
        Sam2Config(fill_hole_area=-1)


def test_image_sizes_of_sam_3_are_multiples_of_its_patches() -> None:
    settings = {"tracker": "sam3:facebook/sam3", "image_size": 1008}
    assert parse_config({"masklets": settings}).masklets.image_size == 1008
    with pytest.raises(ConfigError, match="masklets: expected an image_size .* multiple of 14"):
        parse_config({"masklets": {**settings, "image_size": 1024}})


def test_sam_3_track_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random_weights("sam3").save_pretrained(tmp_path / "weights")
    clip = render_demo(tmp_path / "tiny.mp4", TINY).clip
    asked = ["track", str(clip), "--box", "100,60,200,140", "--tracker", f"sam3:{tmp_path}/weights"]
    assert main([*asked, "--out", str(tmp_path / "out"), "--no-video"]) == 0
    told = capsys.readouterr().out
    assert "12 frames" in told and "#1 in view on" in told


def test_models_of_another_kind_are_refused(tmp_path: Path) -> None:
    from foveal.setup.trackers import open_sam2

    random_weights("sam2").save_pretrained(tmp_path)
    with pytest.raises(AssetError, match=r"sam3_tracker_video at .*got sam2_video"):
        open_sam2(MaskletSettings(f"sam3:{tmp_path}"), 1)
    with pytest.raises(AssetError, match=r"^SAM 3\.1 .*the tracker embedded needs none") as refused:
        open_sam2(MaskletSettings("sam3:facebook/sam3.1"), 1)
    assert "hf download" not in str(refused.value)  # of no help there


def test_a_limit_of_no_masklets_still_opens(tmp_path: Path) -> None:
    from foveal.setup.trackers import open_sam2

    random_model(tiny_config(64, 64), seed=1).save_pretrained(tmp_path)
    tracker = open_sam2(MaskletSettings(f"sam2:{tmp_path}", precision="float32"), 0)
    assert tracker.config.max_tracks == 1
