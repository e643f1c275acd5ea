"""Public formats: small files of each, written here, become the records they describe."""

import json
import pickle
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasoning.data.loaders.coco import coco_pictures, yolo_pictures
from reasoning.data.loaders.common import coco_mask, picture_size, uncompressed
from reasoning.data.loaders.grounding import (
    ade20k_records,
    paco_records,
    refcoco_records,
)
from reasoning.data.loaders.knowledge import (
    crag_mm_samples,
    infoseek_samples,
    oven_samples,
    plain_record,
)
from reasoning.data.records import Entity, TrainingRecord, Words, problems
from stream.errors import SourceError
from stream.geometry import decode_mask

SIZE = (40, 60)
SQUARE = [10.0, 5.0, 29.0, 5.0, 29.0, 24.0, 10.0, 24.0]  # x 10..29, y 5..24: 400 pixels


def picture(path: Path, size: tuple[int, int] = SIZE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((*size, 3), 90, np.uint8))
    return path


def coco_table(**more: object) -> dict[str, object]:
    info = {"id": 7, "file_name": "a.jpg", "height": SIZE[0], "width": SIZE[1]}
    item = {"id": 3, "image_id": 7, "category_id": 2, "segmentation": [SQUARE], "iscrowd": 0}
    return {
        "images": [info],
        "annotations": [item],
        "categories": [{"id": 2, "name": "cat"}],
        **more,
    }


def square(record: TrainingRecord) -> None:
    """The record is sound and its mask is the square."""
    assert problems(record) == []
    (entity,) = [s for s in record.turns[0].segments if isinstance(s, Entity)]
    mask = decode_mask(entity.mask)
    assert mask.sum() == 400 and mask[5:25, 10:30].all()
    assert picture_size(Path(record.image)) == record.size


def test_refcoco(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.jpg")
    (tmp_path / "instances.json").write_text(json.dumps(coco_table()))
    said = [{"sent": "the left cat", "sent_id": 1, "raw": "", "tokens": []}, {"sent": "kitty"}]
    ref = {"ref_id": 1, "ann_id": 3, "image_id": 7, "category_id": 2, "split": "train"}
    refs = [{**ref, "sentences": said}, {**ref, "split": "val", "sentences": said}]
    (tmp_path / "refs(unc).p").write_bytes(pickle.dumps(refs))
    first, second = refcoco_records(tmp_path, tmp_path / "images")
    square(first)
    square(second)
    assert first.turns[0].question == "Where is the left cat?" and first.id != second.id
    assert len(list(refcoco_records(tmp_path, tmp_path, "testA"))) == 0


def test_a_pickle_that_holds_code_is_refused(tmp_path: Path) -> None:
    (tmp_path / "instances.json").write_text(json.dumps(coco_table()))
    (tmp_path / "refs(unc).p").write_bytes(pickle.dumps([print]))
    with pytest.raises(SourceError, match="no plain value"):
        list(refcoco_records(tmp_path, tmp_path))


def test_ade20k(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "training" / "ADE_1.jpg")
    labels = np.zeros(SIZE, np.uint8)
    labels[5:25, 10:30] = 2
    labels[0, :3] = 9  # too small to learn from
    (tmp_path / "annotations" / "training").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "annotations" / "training" / "ADE_1.png"), labels)
    table = "Idx\tRatio\tTrain\tVal\tStuff\tName\n1\t.2\t9\t1\t1\twall\n2\t.1\t9\t1\t0\tcup, mug\n"
    (tmp_path / "objectInfo150.txt").write_text(table + "9\t.1\t9\t1\t0\tbed\n")
    (record,) = ade20k_records(tmp_path)
    square(record)
    assert record.turns[0].question == "Where is the cup?"


def test_paco_names_parts_of_wholes(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    table = coco_table(categories=[{"id": 2, "name": "mug:inner_body", "supercategory": "PART"}])
    (tmp_path / "paco.json").write_text(json.dumps(table))
    (record,) = paco_records(tmp_path / "paco.json", tmp_path)
    square(record)
    assert record.turns[0].question == "Where is the inner body of the mug?"


def test_coco_and_yolo_give_named_masks(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    (tmp_path / "instances.json").write_text(json.dumps(coco_table()))
    (found,) = coco_pictures(tmp_path / "instances.json", tmp_path)
    assert [thing.name for thing in found.things] == ["cat"] and found.things[0].mask.area == 400
    (renamed,) = coco_pictures(tmp_path / "instances.json", tmp_path, ["kitty"])
    assert renamed.things[0].name == "kitty"
    labels = tmp_path / "labels"
    labels.mkdir()
    shares = " ".join(str(v / (60, 40)[n % 2]) for n, v in enumerate(SQUARE))
    (labels / "a.txt").write_text(f"0 {shares}\n")
    (labels / "missing.txt").write_text("0 0 0 1 1 1 0")
    (yolo,) = yolo_pictures(tmp_path, labels, ["cat"])
    assert yolo.things == found.things
    (labels / "a.txt").write_text("5 0 0 1 1 1 0")
    with pytest.raises(SourceError, match="class x y"):
        list(yolo_pictures(tmp_path, labels, ["cat"]))


def test_oven(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "01" / "x.jpg")
    (tmp_path / "images" / "ovenid2impath.csv").write_text("oven_1,01/x.jpg\noven_2,../../etc\n")
    row = {"data_id": "d1", "image_id": "oven_1", "question": "What is it?", "entity_id": "Q1"}
    path = tmp_path / "oven_entity_train.jsonl"
    path.write_text(json.dumps({**row, "entity_text": "Boeing 747"}))
    (sample,) = oven_samples(path, tmp_path / "images")
    assert sample.title == "Boeing 747" and sample.size == SIZE and sample.id == "d1"
    record = plain_record([sample])
    assert problems(record) == [] and record.turns[0].segments == (Words("This is Boeing 747."),)
    for bad in ("oven_2", "../x", "nowhere"):
        path.write_text(json.dumps({**row, "image_id": bad, "entity_text": "x"}))
        with pytest.raises(SourceError, match="expected a picture"):
            list(oven_samples(path, tmp_path / "images"))


def test_infoseek(tmp_path: Path) -> None:
    picture(tmp_path / "oven_3.jpg")
    row = {"data_id": "d", "image_id": "oven_3", "question": "How long?", "answer": ["70 m", "x"]}
    (tmp_path / "train.jsonl").write_text(json.dumps(row) + "\n\n")
    (tmp_path / "kb.jsonl").write_text(json.dumps({"data_id": "d", "entity_text": "Boeing 747"}))
    (known,) = infoseek_samples(tmp_path / "train.jsonl", tmp_path / "kb.jsonl", tmp_path)
    assert known.answer == "70 m." and known.title == "Boeing 747"
    (unknown,) = infoseek_samples(tmp_path / "train.jsonl", None, tmp_path)
    assert unknown.title == ""


@pytest.mark.parametrize("columns", [False, True])
def test_crag_mm(tmp_path: Path, columns: bool) -> None:
    data = picture(tmp_path / "a.jpg").read_bytes()
    turns = [
        {"interaction_id": "i1", "query": "What is it?"},
        {"interaction_id": "i2", "query": "Old?"},
    ]
    answers = [{"interaction_id": i, "ans_full": f"answer {i}"} for i in ("i1", "i2")]
    row = {
        "session_id": "s/1",
        "image": {"bytes": data, "path": None},
        "turns": {k: [t[k] for t in turns] for k in turns[0]} if columns else turns,
        "answers": {k: [a[k] for a in answers] for k in answers[0]} if columns else answers,
    }
    url_only = {**row, "session_id": "s2", "image": None}
    parquet.write_table(pa.Table.from_pylist([row, url_only]), tmp_path / "shard.parquet")
    (session,) = crag_mm_samples(tmp_path / "shard.parquet", tmp_path / "out")
    record = plain_record(session)
    assert problems(record) == [] and [t.question for t in record.turns] == ["What is it?", "Old?"]
    assert record.turns[1].segments == (Words("answer i2"),)
    assert picture_size(Path(record.image)) == record.size


def test_files_of_another_form_are_told(tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.write_text("{")
    with pytest.raises(SourceError, match="JSON file"):
        list(coco_pictures(bad, tmp_path))
    with pytest.raises(SourceError, match="JSONL file"):
        list(oven_samples(bad, tmp_path))
    with pytest.raises(SourceError, match="parquet"):
        list(crag_mm_samples(bad, tmp_path / "out"))
    with pytest.raises(SourceError, match="objectInfo150"):
        list(ade20k_records(tmp_path))
    bad.write_text('{"images": []}')
    with pytest.raises(SourceError, match="field 'categories'"):
        list(coco_pictures(bad, tmp_path))


def _compressed(runs: list[int]) -> str:
    """COCO's own writer (maskApi.c, rleToString)."""
    text = ""
    for number, run in enumerate(runs):
        value = run - runs[number - 2] if number > 2 else run
        more = True
        while more:
            bits = value & 0x1F
            value >>= 5
            more = value != -1 if bits & 0x10 else value != 0
            text += chr((bits | 0x20 if more else bits) + 48)
    return text


@given(st.lists(st.integers(0, 100_000), max_size=12))
def test_compressed_run_lengths_are_read(runs: list[int]) -> None:
    assert uncompressed(_compressed(runs)) == runs


def test_the_three_forms_of_a_coco_mask_agree() -> None:
    mask = coco_mask([SQUARE], SIZE)
    flat = mask.ravel(order="F")
    edges = [0, *(np.flatnonzero(np.diff(flat)) + 1).tolist(), flat.size]
    runs = np.diff(edges).tolist()
    for counts in (runs, _compressed(runs)):
        assert (coco_mask({"size": list(SIZE), "counts": counts}, SIZE) == mask).all()
