"""`foveal keyframes` on recordings good and bad."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from foveal.cli import EXIT_FAILED, EXIT_OK, main


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Forty frames, a cut at 20."""
    clip = tmp_path / "clip"
    clip.mkdir()
    rng = np.random.default_rng(5)
    for index in range(40):
        if index % 20 == 0:
            blocks = rng.integers(20, 230, (9, 16, 3)).astype(np.uint8)
            picture = np.kron(blocks, np.ones((10, 10, 1), np.uint8))
        noise = rng.integers(0, 8, picture.shape).astype(np.uint8)
        cv2.imwrite(str(clip / f"{index:03d}.png"), picture + noise)
    return clip


def test_json_names_each_keyframe_and_why(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["keyframes", str(folder), "--fps", "10", "--json", "--out", str(out)]) == EXIT_OK
    document = json.loads(capsys.readouterr().out)
    rows = [(row["frame"], row["pts_s"], row["reason"]) for row in document["keyframes"]]
    assert rows == [(0, 0.0, "first"), (20, 2.0, "scene")]
    assert document["frames"] == 40 and document["reasons"] == {"first": 1, "scene": 1}
    strip = np.asarray(cv2.imread(document["strips"][0]))
    assert strip.shape[1] == 2 * 240 and strip.std() > 20


def test_table_and_span(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    span = ["--start-offset", "1.5", "--duration", "1"]
    assert main(["keyframes", str(folder), *span]) == EXIT_OK
    out = capsys.readouterr().out
    assert "2.000 s  scene" in out and "2 keyframes in 10 frames" in out


def test_strips_go_on_in_a_new_file(tmp_path: Path) -> None:
    from foveal.jobs.contact_strips import COLUMNS, PAGE, ContactStrips

    strips = ContactStrips(tmp_path)
    for index in range(PAGE + 1):
        strips.add(np.full((30, 50, 3), index, np.uint8), f"{index}")
    strips.finish()
    shapes = [np.asarray(cv2.imread(str(path))).shape for path in strips.written]
    assert shapes == [(160 * PAGE // COLUMNS, 240 * COLUMNS, 3), (160, 240, 3)]


@pytest.mark.parametrize(
    "arguments,message",
    [
        (["nowhere.mp4"], "nothing is there"),
        (["{text}"], "FFmpeg"),
        (["{clip}", "--fps", "0"], "--fps"),
        (["{clip}", "--min-gap", "20"], "min_gap_ns"),
        (["{clip}", "--duration", "-1"], "duration"),
        (["{clip}", "--start-offset", "nan"], "--start-offset"),
        (["{clip}", "--max-gap", "inf"], "--max-gap"),
        (["{clip}", "--out", "{text}/strips"], "--out"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    arguments: list[str],
    message: str,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("not a video")
    named = [argument.format(clip=folder, text=text) for argument in arguments]
    assert main(["keyframes", *named]) == EXIT_FAILED
    captured = capsys.readouterr()
    assert message in captured.err and captured.err.count("\n") == 1 and not captured.out


def test_numbers_that_count_from_an_offset_say_so(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["keyframes", str(folder), "--json", "--start-offset", "1.5"]) == EXIT_OK
    rows = json.loads(capsys.readouterr().out)["keyframes"]
    assert [row["frame_from_offset"] for row in rows] == [0, 5]
    assert all("frame" not in row for row in rows)


@pytest.mark.parametrize("fps,second_s", [("29.97", 20 / 29.97), ("0.5", 40.0)])
def test_a_broken_or_slow_rate(
    folder: Path, capsys: pytest.CaptureFixture[str], fps: str, second_s: float
) -> None:
    code = main(["keyframes", str(folder), "--json", "--fps", fps, "--max-gap", "1000"])
    rows = json.loads(capsys.readouterr().out)["keyframes"]
    assert code == EXIT_OK and rows[1]["pts_s"] == pytest.approx(second_s, abs=0.001)
