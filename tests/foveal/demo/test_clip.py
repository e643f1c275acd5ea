"""The demo clip: decodes back, its truth fits, the same seed gives the same files."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foveal.cli import main
from foveal.demo.camera import SCRIPT, SCRIPT_S, HeadCamera
from foveal.demo.clip import QUESTIONS, DemoFiles, DemoOptions, files_of, render_demo
from foveal.demo.scene import PHOTOS, WALL_SIZE, build_wall, read_photo
from stream.errors import ConfigError, OutputError
from stream.geometry import Rle, decode_mask, mask_box
from stream.sources.video import VideoReader

SMALL = DemoOptions(seconds=4.0, width=320, height=180, fps=5, seed=3)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> DemoFiles:
    return render_demo(tmp_path_factory.mktemp("demo") / "new" / "clip.mp4", SMALL)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> DemoFiles:
    """All of the script."""
    options = DemoOptions(width=320, height=180, fps=2, seed=3)
    return render_demo(tmp_path_factory.mktemp("demo") / "whole.mp4", options)


def test_the_clip_decodes_to_its_own_timestamps(files: DemoFiles) -> None:
    frames = list(VideoReader(files.clip).read(0))
    truth = json.loads(files.truth.read_text())
    assert [frame.pts_ns for frame in frames] == [row["pts_ns"] for row in truth["frames"]]
    assert [frame.pts_ns for frame in frames] == [index * 200_000_000 for index in range(20)]
    assert {frame.size for frame in frames} == {(180, 320)}
    assert not any(path.name.endswith(".part") for path in files.clip.parent.iterdir())


def test_masks_fit_the_frames_and_their_boxes(whole: DemoFiles) -> None:
    truth = json.loads(whole.truth.read_text())
    assert truth["objects"] == ["cat", "cup", "man", "page", "tripod"]
    for row in truth["frames"]:
        assert row["objects"], f"nothing in view at {row['pts_ns']}"
        for thing in row["objects"]:
            size, counts = thing["mask"]["size"], thing["mask"]["counts"]
            mask = decode_mask(Rle((size[0], size[1]), tuple(counts)))
            assert mask.shape == (180, 320)
            assert mask_box(mask) == tuple(thing["box"])


def test_masks_lie_on_what_they_name(files: DemoFiles) -> None:
    """The red cup is redder inside its mask than around it, in decoded pixels."""
    truth = json.loads(files.truth.read_text())
    first = next(iter(VideoReader(files.clip).read(0))).image.astype(np.float32)
    cup = next(thing for thing in truth["frames"][0]["objects"] if thing["name"] == "cup")
    mask = decode_mask(Rle((180, 320), tuple(cup["mask"]["counts"])))
    rows, cols = np.nonzero(mask)
    middle = first[int(rows.mean()), int(cols.mean())]
    assert middle[0] > middle[2] + 30  # coffee is brown
    wall = first[:8, :8].mean(axis=(0, 1))
    assert abs(wall[0] - wall[2]) < 40  # the wall is grey


def test_questions_are_readable_and_point_inside_their_things(whole: DemoFiles) -> None:
    truth = json.loads(whole.truth.read_text())
    lines = [json.loads(line) for line in whole.questions.read_text().splitlines()]
    assert len(lines) == len(QUESTIONS) >= 6
    assert [line["at"] for line in lines] == sorted(line["at"] for line in lines)
    for line, question in zip(lines, QUESTIONS, strict=True):
        assert 0 <= line["at"] < SCRIPT_S
        assert ("point" in line) == (question.point_at is not None)
        if question.point_at is None:
            continue
        row = next(row for row in truth["frames"] if row["pts_ns"] >= line["at"] * 1e9)
        thing = next(thing for thing in row["objects"] if thing["name"] == question.point_at)
        mask = decode_mask(Rle((180, 320), tuple(thing["mask"]["counts"])))
        assert mask[line["point"][1], line["point"][0]]


def test_a_wearer_could_ask_the_questions() -> None:
    """One at a time, with the last answer spoken before the clip ends."""
    times = [question.at_s for question in QUESTIONS]
    assert min(np.diff([*times, SCRIPT_S])) >= 3.5
    assert SCRIPT_S / len(QUESTIONS) >= 5
    assert any(question.point_at for question in QUESTIONS)


def test_no_question_is_one_of_a_benchmark() -> None:
    files = sorted((Path(__file__).parents[3] / "benchmarks" / "data").glob("*.yaml"))
    known = "\n".join(file.read_text(encoding="utf-8").lower() for file in files)
    assert known
    assert [question.text for question in QUESTIONS if question.text.lower() in known] == []


def test_a_shorter_clip_is_the_beginning_of_the_whole(files: DemoFiles, tmp_path: Path) -> None:
    shorter = render_demo(tmp_path / "short.mp4", replace(SMALL, seconds=2.0))
    rows = [json.loads(one.truth.read_text())["frames"] for one in (files, shorter)]
    assert rows[0][:10] == rows[1]
    assert shorter.questions.read_text() == ""
    assert len(files.questions.read_text().splitlines()) == 1


def test_the_same_seed_gives_the_same_files(files: DemoFiles, tmp_path: Path) -> None:
    again = render_demo(tmp_path / "clip.mp4", SMALL)
    other = render_demo(tmp_path / "other.mp4", replace(SMALL, seed=4))
    assert again.clip.read_bytes() == files.clip.read_bytes()
    assert again.truth.read_bytes() == files.truth.read_bytes()
    assert again.questions.read_bytes() == files.questions.read_bytes()
    assert other.clip.read_bytes() != files.clip.read_bytes()


def test_every_rest_shows_its_photograph_whole_or_nearly() -> None:
    """At the end of each shot the frame lies on the wall and a photograph's centre is in view."""
    camera = HeadCamera(seed=7, scale=1.0)
    ends = [shot.start_s for shot in SCRIPT[1:]] + [SCRIPT_S]
    for end in ends:
        pose = camera.pose(end - 0.05)
        assert 0 < pose.x < WALL_SIZE[0] and 0 < pose.y < WALL_SIZE[1]
        matrix = pose.matrix(1.0, 1280, 720)
        centres = [matrix @ [*photo.centre, 1] for photo in PHOTOS.values()]
        assert any(200 < x < 1080 and 200 < y < 520 for x, y in centres)


@given(st.integers(0, 1000), st.floats(0, SCRIPT_S))
def test_the_camera_is_smooth_at_rest_and_exposure_is_sane(seed: int, now_s: float) -> None:
    camera = HeadCamera(seed, 1.0)
    assert 0.5 < camera.gain(now_s) < 1.5
    if all(not -0.02 < now_s - shot.start_s < 0.95 for shot in SCRIPT[1:]):
        here, there = camera.pose(now_s), camera.pose(now_s + 0.01)
        assert np.hypot(here.x - there.x, here.y - there.y) < 3  # hand shake, not a jump


def test_outlines_lie_inside_their_photographs() -> None:
    for photo in PHOTOS.values():
        height, width = read_photo(photo.file).shape[:2]
        for thing in photo.things:
            for x, y in (point for outline in thing.outlines for point in outline):
                assert 0 <= x <= width and 0 <= y <= height
    wall = build_wall(0.25)
    assert wall.image.shape == (250, 1200, 3)
    assert all(mask.any() for mask in wall.masks.values())


def test_the_command_says_where_the_files_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = tmp_path / "a.mp4"
    args = ["demo-clip", str(clip), "--size", "96x64", "--seconds", "2", "--fps", "2", "--json"]
    assert main(args) == 0
    shown = json.loads(capsys.readouterr().out)
    assert {Path(path) for path in shown.values()} == set(tmp_path.iterdir())
    assert shown["questions"] == str(files_of(clip).questions)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--size", "huge"], "WIDTHxHEIGHT"),
        (["--size", "321x180"], "even width"),
        (["--size", "320x20000"], "height"),
        (["--fps", "0"], "fps"),
        (["--seconds", "0"], "seconds"),
        (["--seed", "-1"], "seed"),
    ],
)
def test_bad_options_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    assert main(["demo-clip", str(tmp_path / "a.mp4"), *arguments]) == 1
    assert expected in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_options_refuse_what_makes_no_clip() -> None:
    with pytest.raises(ConfigError, match="seconds"):
        DemoOptions(seconds=float("nan"))


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OutputError, match="may be written"):
        render_demo(tmp_path / "file" / "a.mp4", SMALL)


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() == 0, reason="root and Windows write read-only folders"
)
def test_a_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="may be written"):
        render_demo(tmp_path / "a.mp4", SMALL)
