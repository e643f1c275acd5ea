"""A session whose phrases SAM 3 grounds: random weights on disk, named in a settings file."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from foveal.cli import main
from foveal.config.load import load_config, parse_config
from foveal.config.models import PhraseSettings
from foveal.config.schema import Config
from foveal.demo.clip import DemoOptions, render_demo
from foveal.jobs.replay import ReplayRequest, replay
from foveal.output.answer_records import read_answers
from foveal.setup.phrases import open_phrase_segmenter
from perception.sam3.phrases import Sam3PhraseSegmenter
from perception.scene.instances import PhraseInstances
from stream.errors import AssetError, ConfigError
from stream.events import Question
from stream.frame import Image
from stream.geometry import decode_mask
from stream.sources.playback import PlaybackOptions
from tests.doubles.sam3_random import save_phrase_model

if TYPE_CHECKING:
    from foveal.setup.assistant import Models

TINY = DemoOptions(seconds=1.5, width=320, height=180, fps=4, seed=3)


@pytest.mark.assets
def test_a_whole_replay_asks_the_segmenter(
    models: "Models", monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("foveal.setup.stages.open_models", lambda config: models)
    asked: list[str] = []
    segment = Sam3PhraseSegmenter.segment

    def noted(self: Sam3PhraseSegmenter, image: Image, phrase: str) -> PhraseInstances:
        asked.append(phrase)
        return segment(self, image, phrase)

    monkeypatch.setattr(Sam3PhraseSegmenter, "segment", noted)
    save_phrase_model(tmp_path / "weights", seed=3)
    path = tmp_path / "mine.yaml"
    path.write_text(
        f"phrases:\n  segmenter: sam3:{tmp_path / 'weights'}\n  min_score: 0.0\n"
        "speech:\n  backend: none\n"
    )
    clip = render_demo(tmp_path / "tiny.mp4", TINY).clip
    questions = (Question("Where is the kettle?", 250_000_000),)
    request = ReplayRequest(
        clip, tmp_path / "out", questions, PlaybackOptions(rate=0), load_config(path), video=False
    )
    try:
        summary = asyncio.run(replay(request))
    finally:
        models.reader.segment_by(None)
    assert summary.figures["frames"] == 6 and summary.figures["answers"] == 1
    assert any("kettle" in phrase for phrase in asked)
    (answer,) = read_answers(tmp_path / "out" / "answers.jsonl")
    assert answer.spans and decode_mask(answer.spans[0].region.mask).any()


@pytest.mark.assets
def test_the_segment_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import cv2
    import numpy as np

    save_phrase_model(tmp_path / "weights", seed=3)
    image = np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    asked = ["segment", str(tmp_path / "a.png"), "--phrase", "cup", "--segmenter"]
    assert main([*asked, f"sam3:{tmp_path / 'nothing'}"]) != 0
    assert "expected a hub id or a folder" in capsys.readouterr().err
    code = main([*asked, f"sam3:{tmp_path / 'weights'}"])
    told = capsys.readouterr()  # random weights may see none of it, and then say so
    assert code == 0 or "found nothing (presence 0." in told.err


def test_the_default_is_embedded() -> None:
    assert Config().phrases == PhraseSettings("embedded")
    assert open_phrase_segmenter(PhraseSettings()) is None
    for profile in ("embedded", "edge", "server", "replay"):
        assert load_config(profile).phrases.segmenter == "embedded"


@pytest.mark.parametrize("name", ["sam3", "sam3:", "sam2:x", ":x", ""])
def test_unknown_segmenters_are_refused_by_key(name: str) -> None:
    with pytest.raises(ConfigError, match="phrases: expected a phrase segmenter embedded or sam3"):
        parse_config({"phrases": {"segmenter": name}})


@pytest.mark.parametrize("size", [1024, 7, 10_080])
def test_image_sizes_are_held_to_patches(size: int) -> None:
    with pytest.raises(ConfigError, match="phrases"):
        parse_config({"phrases": {"image_size": size}})
    assert parse_config({"phrases": {"image_size": 1008}}).phrases.image_size == 1008


def test_settings_reach_the_segmenter(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_phrase_model(tmp_path)
    settings = PhraseSettings(f"sam3:{tmp_path}", image_size=70, device="cpu", min_score=0.3)
    segmenter = open_phrase_segmenter(settings)
    assert isinstance(segmenter, Sam3PhraseSegmenter)
    assert segmenter.image_size == 70 and segmenter.config.min_score == 0.3
    assert "use a GPU" in caplog.text


def test_absent_weights_say_what_runs_without(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match="embedded needs no weights"):
        open_phrase_segmenter(PhraseSettings(f"sam3:{tmp_path / 'nothing'}"))
