"""Masks of files, and of SAM 2 by the real class with random weights."""

import json
from pathlib import Path

import numpy as np
import pytest

from foveal.visual_search.mask_sources import (
    SAME,
    MasksOfFile,
    Sam2Masks,
    distinct,
    open_masks,
)
from perception.sam2.networks import Sam2Networks
from perception.sam2_tracking.tracker import Sam2Tracker
from stream.errors import ConfigError, SourceError
from stream.geometry import mask_iou
from tests.doubles.sam2_random import random_model, tiny_config
from tests.perception.sam2.sam2_rig import frame


def write(path: Path, *segmentations: object) -> Path:
    table = {
        "images": [{"id": 1, "file_name": "a.png", "height": 4, "width": 5}],
        "annotations": [
            {"image_id": 1, "segmentation": one, "category_id": 1} for one in segmentations
        ],
    }
    path.write_text(json.dumps(table), encoding="utf-8")
    return path


def test_masks_of_a_file(tmp_path: Path) -> None:
    runs = {"size": [4, 5], "counts": [4, 4, 12]}
    path = write(tmp_path / "m.json", [[0, 0, 2, 0, 2, 2, 0, 2]], runs, {"size": [4]}, 7)
    source = open_masks(str(path))
    assert isinstance(source, MasksOfFile)
    found = source.find("sub/a.png", np.zeros((4, 5, 3), np.uint8))
    assert [int(mask.sum()) for mask in found.masks] == [9, 4]
    assert len(found.refused) == 2 and "mask 3" in found.refused[0]
    assert "does not name" in source.find("b.png", np.zeros((4, 5, 3), np.uint8)).refused[0]
    with pytest.raises(SourceError, match="5x4"):
        source.find("a.png", np.zeros((9, 5, 3), np.uint8))
    assert MasksOfFile(write(tmp_path / "n.json", runs)).id != source.id


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"images": 3, "annotations": [1]}'])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "m.json").write_text(text, encoding="utf-8")
    with pytest.raises(SourceError):
        open_masks(str(tmp_path / "m.json"))
    with pytest.raises(ConfigError, match="proposals"):
        open_masks("magic")


def test_the_more_certain_of_two_stays() -> None:
    left, right = np.zeros((6, 6), np.bool_), np.zeros((6, 6), np.bool_)
    left[:, :3], right[:, 4:] = True, True
    kept = distinct([(0.2, left), (0.9, left.copy()), (0.5, right)])
    assert len(kept) == 2 and np.array_equal(kept[0], left) and np.array_equal(kept[1], right)


def test_sam2_on_a_grid() -> None:
    tracker = Sam2Tracker(Sam2Networks(random_model(tiny_config(64, 64), seed=1)))
    source = Sam2Masks(tracker, "sam2:tiny", grid=3)
    image = frame(0).image
    masks = source.find("a.png", image).masks
    assert masks and all(mask.shape == image.shape[:2] and mask.any() for mask in masks)
    pairs = [(one, two) for n, one in enumerate(masks) for two in masks[n + 1 :]]
    assert all(mask_iou(one, two) < SAME for one, two in pairs)
    again = source.find("a.png", image).masks
    assert all(np.array_equal(one, two) for one, two in zip(masks, again, strict=True))
