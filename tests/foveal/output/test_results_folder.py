"""No clip and no results are lost to another run's output."""

import json
import logging
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from foveal.cli import main
from foveal.jobs.replay import ReplayRequest, replay
from foveal.output.recorder import RESULTS
from foveal.output.results_folder import claim, default_folder
from stream.errors import OutputError
from stream.sources.playback import PlaybackOptions
from stream.writing import keep_apart
from tests.stream.sources.test_sources import write_clip


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


async def test_a_clip_among_the_results_is_refused_and_stays(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "annotated.mp4")
    before = clip.read_bytes()
    (tmp_path / "answers.jsonl").write_text("earlier\n")
    with pytest.raises(OutputError, match="it would be lost"):
        await replay(ReplayRequest(clip, tmp_path, (), PlaybackOptions(rate=0)))
    assert clip.read_bytes() == before
    assert (tmp_path / "answers.jsonl").read_text() == "earlier\n"


@pytest.mark.assets
def test_track_does_not_write_over_its_clip(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "annotated.mp4")
    before = clip.read_bytes()
    given = ["--box", "0,0,40,40", "--out", str(tmp_path)]
    assert main(["track", str(clip), *given]) == 1
    assert clip.read_bytes() == before


@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
def test_links_to_the_clip_count(tmp_path: Path, link: str) -> None:
    clip, out = write_clip(tmp_path / "walk.mp4"), tmp_path / "out"
    out.mkdir()
    getattr(out / "annotated.mp4", link)(clip)
    with pytest.raises(OutputError, match="it would be lost"):
        claim(out, clip, RESULTS)
    assert (out / "annotated.mp4").exists()


def test_pictures_are_not_mixed_with_strips_of_them(here: Path) -> None:
    cv2.imwrite("a.png", np.zeros((8, 8, 3), np.uint8))
    assert main(["keyframes", ".", "--out", "."]) == 1
    assert [path.name for path in here.iterdir()] == ["a.png"]


def test_a_picture_is_not_replaced_by_its_mask(here: Path) -> None:
    cv2.imwrite("a.png", np.zeros((8, 8, 3), np.uint8))
    before = Path("a.png").read_bytes()
    assert main(["segment", "a.png", "--point", "3,3", "--out", "a.png"]) == 1
    assert Path("a.png").read_bytes() == before


def test_a_recording_is_not_replaced_by_what_is_said_in_it(here: Path) -> None:
    clip = write_clip(here / "a.mp4")
    before = clip.read_bytes()
    assert main(["listen", str(clip), "--ask-file", "./a.mp4"]) == 1
    assert clip.read_bytes() == before


def test_questions_among_the_results_are_refused(here: Path) -> None:
    write_clip(here / "walk.mp4")
    asked = here / "out" / "events.jsonl"
    asked.parent.mkdir()
    asked.write_text(json.dumps({"at": 0, "text": "What is this?"}) + "\n")
    assert main(["replay", "walk.mp4", "--ask-file", str(asked), "--out", "out"]) == 1
    assert asked.exists()


def test_clips_of_one_name_have_folders_of_their_own(here: Path) -> None:
    clips = [Path("day1/GX01.MP4"), Path("day2/GX01.MP4"), Path("day2/GX01.mov")]
    folders = []
    for clip in clips:
        folders.append(default_folder(clip))
        claim(folders[-1], clip, RESULTS)
        (folders[-1] / "answers.jsonl").write_text(str(clip))
    assert folders == [Path("runs/GX01"), Path("runs/GX01-2"), Path("runs/GX01-3")]
    assert default_folder(clips[0]) == folders[0]  # its own results may be replaced
    assert (folders[0] / "answers.jsonl").read_text() == str(clips[0])


def test_a_folder_of_somebody_else_is_left_alone(here: Path) -> None:
    Path("runs/walk").mkdir(parents=True)
    Path("runs/walk/notes.txt").write_text("mine")
    assert default_folder(Path("walk.mp4")) == Path("runs/walk-2")


@pytest.mark.parametrize("text", [".", "..", "frames/.."])
def test_a_folder_without_a_name_of_its_own_has_one(here: Path, text: str) -> None:
    Path("frames").mkdir()
    assert default_folder(Path(text)) == Path("runs") / Path(text).resolve().stem


def test_replaced_results_of_another_clip_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    claim(tmp_path, Path("a.mp4"), RESULTS)
    with caplog.at_level(logging.WARNING):
        claim(tmp_path, Path("a.mp4"), RESULTS)
        assert not caplog.records
        claim(tmp_path, Path("b.mp4"), RESULTS)
    assert "a.mp4" in caplog.text and "replaced" in caplog.text


def test_what_does_not_exist_is_no_source(tmp_path: Path) -> None:
    keep_apart([tmp_path / "new"], [tmp_path / "new"])
    shutil.copy(write_clip(tmp_path / "a.mp4"), tmp_path / "b.mp4")
    keep_apart([tmp_path / "b.mp4"], [tmp_path / "a.mp4"])  # a copy is another file
