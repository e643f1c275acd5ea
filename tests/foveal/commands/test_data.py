"""`foveal data`: held-out photographs, composites, and the check of a file."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.questions import FRESH, SEARCH_POLICY
from foveal.cli import main
from foveal.training.data.pictures import (
    HELD_OUT,
    composites,
    entries_by_name,
    imagenet_training,
    load_picture,
    missing_sets,
    scene_of,
    written,
)
from foveal.training.data.scenes import PasteObject
from reasoning.data.records import TrainingRecord, TurnRecord, Words, as_json
from retrieval.sources.entries import Entry
from stream.errors import SourceError
from stream.geometry import decode_mask

RECORD = TrainingRecord(
    "a", "skimage:coffee", (400, 600), (TurnRecord("Why?", None, (Words("So."),)),)
)


def write(path: Path, *records: TrainingRecord) -> Path:
    path.write_text("".join(json.dumps(as_json(record)) + "\n" for record in records))
    return path


def test_photographs_of_the_benchmark_are_held_out(tmp_path: Path) -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in (SEARCH_POLICY, FRESH))
    used = {part.split(".jpg")[0].split("_", 1)[1] for part in text.split("imagenet-samples/")[1:]}
    assert used == HELD_OUT
    folder = tmp_path / "imagenet-samples"
    folder.mkdir()
    for name in ("n0_koala.jpg", "n1_red_fox.jpg"):
        cv2.imwrite(str(folder / name), np.zeros((4, 5, 3), np.uint8))
    (fox,) = imagenet_training(tmp_path)
    assert fox.whole == "red fox" and fox.size == (4, 5)


def test_the_benchmark_asks_no_training_photograph_of_coco() -> None:
    for path in (SEARCH_POLICY, FRESH):
        assert "train2017" not in path.read_text(encoding="utf-8")


def test_composites_are_written_with_their_masks(tmp_path: Path) -> None:
    red = np.zeros((60, 80, 3), np.uint8)
    red[..., 0] = 250
    cuts = [PasteObject(red, np.full((60, 80), 255, np.uint8), ("red fox", "fox"))]
    scenes = composites(cuts, ["skimage:grass"], 3, np.random.default_rng(0))
    pictures = list(written(scenes, tmp_path / "pasted"))
    assert len(pictures) == 3
    for picture in pictures:
        image = load_picture(picture.image)
        assert image.shape[:2] == picture.size and {t.name for t in picture.things} == {"red fox"}
        for thing in picture.things:
            mask = decode_mask(thing.mask)
            assert image[mask].mean(0)[0] > 3 * image[mask].mean(0)[1:].max()
    again = scene_of(pictures[0])
    assert again.image.shape[:2] == pictures[0].size and again.things[0].names == ("red fox",)


def test_names_find_their_entries_by_synonym() -> None:
    bike = Entry("b", "Bicycle", "", ("A bicycle has two wheels.",))
    table = Entry("t", "Table (furniture)", "", ("A table is flat.",))
    found = entries_by_name([bike, table], ["bicycle", "dining table", "person", "unknown"])
    assert found == {"bicycle": bike, "dining table": table}


def test_check_accepts_a_sound_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "data.jsonl", RECORD)
    assert main(["data", "check", str(path), "--images", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report == {"records": 1, "turns": 1, "segments": 1, "problems": []}


@pytest.mark.parametrize(
    ("image", "size", "complaint"),
    [
        ("skimage:coffee", (4, 4), "the picture is (400, 600)"),
        ("missing.jpg", (4, 4), "missing.jpg"),
        ("skimage:no_such_thing", (4, 4), "no_such_thing"),
    ],
)
def test_check_opens_pictures(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    image: str,
    size: tuple[int, int],
    complaint: str,
) -> None:
    path = write(tmp_path / "data.jsonl", TrainingRecord("a", image, size, RECORD.turns))
    assert main(["data", "check", str(path), "--images"]) == 1
    assert complaint in capsys.readouterr().out
    assert main(["data", "check", str(path)]) == 0


def test_check_of_another_file_says_what_a_record_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "asked.jsonl"
    path.write_text('{"at": 3.0, "text": "What is this?"}\n')
    assert main(["data", "check", str(path)]) == 1
    told = capsys.readouterr().out
    assert "asked.jsonl:1: expected a training record as `foveal data build` writes it" in told
    assert "got one without 'size'" in told and "KeyError" not in told


def test_a_folder_without_any_set_ends_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "data.jsonl"
    assert main(["data", "build", "--out", str(out), "--data", str(tmp_path)]) == 1
    assert "expected one of coco-mini" in capsys.readouterr().err and not out.exists()


def test_sets_that_are_not_there_are_named(tmp_path: Path) -> None:
    (tmp_path / "imagenet-samples").mkdir()
    assert [path.relative_to(tmp_path).parts[0] for path in missing_sets(tmp_path)] == [
        "coco-mini",
        "coco128-seg",
    ]


def test_check_finds_an_id_used_twice_and_an_empty_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "check", str(write(tmp_path / "twice.jsonl", RECORD, RECORD))]) == 1
    assert "used twice" in capsys.readouterr().out
    assert main(["data", "check", str(write(tmp_path / "empty.jsonl"))]) == 1
    assert "found none" in capsys.readouterr().out


def test_import_writes_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cv2.imwrite(str(tmp_path / "oven_3.jpg"), np.zeros((4, 5, 3), np.uint8))
    row = {"data_id": "d", "image_id": "oven_3", "question": "How long?", "answer": ["70 m"]}
    source = tmp_path / "infoseek_train.jsonl"
    source.write_text(json.dumps(row))
    out = tmp_path / "out.jsonl"
    call = ["data", "import", "infoseek", str(source), "--out", str(out), "--json"]
    assert main([*call, "--images", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out)["records"] == 1
    assert main(["data", "check", str(out), "--images"]) == 0
    assert main(call) != 0
    assert "--images" in capsys.readouterr().err


def test_pictures_are_three_channels_of_bytes() -> None:
    assert load_picture("skimage:camera").shape[2] == 3
    with pytest.raises(SourceError, match="nowhere"):
        load_picture("nowhere.png")


@pytest.mark.assets
def test_build_from_package_photographs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "data.jsonl"
    try:
        code = main(["data", "build", "--out", str(out), "--limit", "4", "--json"])
    except SystemExit:
        pytest.skip("the embedded assets are absent")
    if code != 0:
        pytest.skip("the embedded assets or the index are absent")
    assert json.loads(capsys.readouterr().out)["records"] == 4
    assert main(["data", "check", str(out), "--images"]) == 0
