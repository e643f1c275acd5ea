"""Training data of the everyday head, and its fit."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from foveal.training.everyday.fit import EverydayOptions, fit_head
from foveal.training.everyday.pictures import (
    BACKGROUND,
    Labelled,
    LabelledMask,
    crops,
    read_coco,
    read_yolo,
)
from perception.features.backbone import Backbone
from stream.errors import SourceError


def write_picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((40, 60, 3), 90, np.uint8))


def coco_table() -> dict[str, object]:
    square = [10, 5, 30, 5, 30, 25, 10, 25]
    thing = {"image_id": 1, "category_id": 44, "segmentation": [square], "iscrowd": 0}
    crowd = {**thing, "iscrowd": 1, "segmentation": {"counts": [1], "size": [40, 60]}}
    return {
        "categories": [{"id": 44, "name": "bottle"}, {"id": 1, "name": "person"}],
        "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}],
        "annotations": [thing, crowd],
    }


def test_coco_polygons_become_masks(tmp_path: Path) -> None:
    for name in "ab":
        write_picture(tmp_path / f"{name}.jpg")
    (tmp_path / "i.json").write_text(json.dumps(coco_table()))
    first, second = read_coco(tmp_path / "i.json", tmp_path)
    assert [thing.label for thing in first.things] == [2]  # names are counted in order of their id
    assert first.things[0].mask[10, 20] and not first.things[0].mask[30, 20]
    assert second.things == ()


@pytest.mark.parametrize("text", ["", "{}", '{"categories": 3}', "[1]"])
def test_malformed_annotations_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "i.json").write_text(text)
    with pytest.raises(SourceError, match="expected COCO instances"):
        read_coco(tmp_path / "i.json", tmp_path)


def test_yolo_shares_become_pixels(tmp_path: Path) -> None:
    write_picture(tmp_path / "images" / "train2017" / "7.jpg")
    labels = tmp_path / "labels" / "train2017"
    labels.mkdir(parents=True)
    (labels / "7.txt").write_text("39 0.5 0 1 0 1 1 0.5 1\n\n")
    (only,) = read_yolo(tmp_path, ["7"])
    assert [thing.label for thing in only.things] == [40]
    assert only.things[0].mask[20, 50] and not only.things[0].mask[20, 10]


def two_colours(seed: int) -> Labelled:
    """A red and a blue square on grey noise."""
    random = np.random.default_rng(seed)
    image = random.integers(90, 160, (120, 160, 3), np.uint8)
    things = []
    for label, colour, left in ((1, (220, 30, 30), 10), (2, (30, 30, 220), 90)):
        mask = np.zeros((120, 160), bool)
        mask[30:80, left : left + 50] = True
        image[mask] = colour
        things.append(LabelledMask(mask, label))
    return Labelled(image, tuple(things))


def test_crops_show_each_thing_in_two_views_and_background() -> None:
    pairs = list(crops(two_colours(0), 3, np.random.default_rng(0)))
    labels = [label for _, label in pairs]
    assert labels.count(1) == labels.count(2) == 6
    assert BACKGROUND in labels
    assert all(image.ndim == 3 and min(image.shape[:2]) >= 2 for image, _ in pairs)


def test_fit_tells_things_apart_and_repeats_itself() -> None:
    backbone = Backbone.random()
    pictures = [two_colours(seed) for seed in range(3)]
    heads = [
        fit_head(pictures, backbone, EverydayOptions(draws=2, decay=1e-6), lambda *_: None)[0]
        for _ in range(2)
    ]
    assert np.array_equal(heads[0].weight, heads[1].weight)
    pairs = list(crops(two_colours(9), 2, np.random.default_rng(5)))
    shown = [(image, label) for image, label in pairs if label != BACKGROUND]
    got = heads[0].probabilities(backbone.pooled([image for image, _ in shown])).argmax(1)
    assert (got == np.array([label for _, label in shown])).mean() >= 0.75
