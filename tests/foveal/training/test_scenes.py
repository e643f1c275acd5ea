"""Training pictures: what is read, what is left out, and what is pasted together."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from foveal.training.data.compositing import compose
from foveal.training.data.scene_mix import SceneOptions, mixed_scenes
from foveal.training.data.scenes import (
    SIZE,
    LabelledScene,
    NamedThing,
    PasteObject,
    Sources,
    by_name,
    coco128_halves,
    cut_outs,
    is_held_out,
    photographs,
    stamps,
)
from foveal.training.data.wide_scenes import compose_wide
from stream.errors import SourceError


def test_wide_scenes_hold_many_small_things_whose_masks_are_theirs() -> None:
    """Seen through a lens or not: what a mask covers has the colour that was pasted."""
    rng = np.random.default_rng(3)
    red = np.zeros((40, 40, 3), np.uint8)
    red[..., 0] = 250
    full = np.full((40, 40), 255, np.uint8)
    cuts = by_name([PasteObject(red, full, ("red",))])
    table = np.zeros((120, 160), bool)
    table[60:] = True
    room = LabelledScene(
        np.full((120, 160, 3), 60, np.uint8), (NamedThing(table, ("table",)),), closed=False
    )
    names, shares = set[str](), []
    for _ in range(12):
        made = compose_wide(room, cuts, rng)
        assert made.image.shape == (*SIZE, 3) and not made.closed
        for one in made.things:
            names.add(one.names[0])
            inner = cv2.erode(one.mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
            if one.names == ("red",) and inner.any():
                shares.append(one.mask.mean())
                colour = made.image[inner].mean(0)
                assert colour[0] > 3 * max(1.0, colour[2]), colour
    assert names == {"red", "table"} and len(shares) > 20
    assert float(np.median(shares)) < 0.06


def test_photographs_that_are_measured_on_are_not_learnt_from(tmp_path: Path) -> None:
    """coco128's second half and coco-mini's val half, wherever else they lie."""
    images = tmp_path / "yolo" / "images" / "train2017"
    folders = (images, tmp_path / "coco" / "train2017", tmp_path / "coco" / "val2017")
    for folder in (*folders, tmp_path / "coco" / "annotations"):
        folder.mkdir(parents=True)
    picture = np.full((40, 60, 3), 90, np.uint8)
    for stem in ("001", "002", "003", "004"):
        cv2.imwrite(str(images / f"{stem}.jpg"), picture)
    for folder, stem in ((folders[1], "003"), (folders[1], "005"), (folders[2], "001")):
        cv2.imwrite(str(folder / f"{stem}.jpg"), picture)
    rows = [{"id": n, "file_name": f"{n:03d}.jpg"} for n in (3, 5)]
    table = {"categories": [{"id": 1}], "images": rows, "annotations": []}
    path = tmp_path / "coco" / "annotations" / "instances_train2017.json"
    path.write_text(json.dumps(table))
    coco, coco128 = tmp_path / "coco", tmp_path / "yolo"
    assert coco128_halves(coco128) == (("001", "002"), ("003", "004"))
    assert len(photographs(coco, None)) == 2  # nothing says that 003 is measured on
    assert len(photographs(coco, coco128)) == 2  # 005, 002
    assert len(photographs(coco, coco128, held_out=True)) == 2


def test_composites_show_what_their_masks_say() -> None:
    image = np.zeros((120, 160, 3), np.uint8)
    image[30:90, 40:120] = (200, 30, 30)
    mask = np.zeros((120, 160), bool)
    mask[30:90, 40:120] = True
    cuts = cut_outs([LabelledScene(image, (NamedThing(mask, ("brick",)),), closed=True)])
    assert cuts[0].image.shape[:2] == (60, 80)
    ground = LabelledScene(np.full((100, 100, 3), 120, np.uint8), (), closed=False)
    scene = compose(ground, by_name(cuts), np.random.default_rng(1))
    assert scene.image.shape == (*SIZE, 3) and scene.things
    for thing in scene.things:
        red = scene.image[thing.mask].astype(int)
        assert np.median(red[:, 0] - red[:, 1]) > 60


def test_stamps_are_named_and_split(tmp_path: Path) -> None:
    pixels = np.full((30, 40, 4), 255, np.uint8)
    names = [f"thing{n}" for n in range(40)]
    for name in names:
        cv2.imwrite(str(tmp_path / f"{name}.png"), pixels)
        (tmp_path / f"{name}.txt").write_text(f"A {name}.\nach.utf8=x\n")
    kept, held = (
        {cut.names[0] for cut in stamps(tmp_path, held_out=held)} for held in (False, True)
    )
    assert kept | held == set(names) and not kept & held
    assert held == {name for name in names if is_held_out(name)} and 2 <= len(held) <= 16
    with pytest.raises(SourceError):
        stamps(tmp_path / "none")


def test_the_mix_has_photographs_and_what_is_made_of_them(tmp_path: Path) -> None:
    coco = tmp_path / "coco"
    (coco / "train2017").mkdir(parents=True)
    (coco / "annotations").mkdir()
    rng = np.random.default_rng(0)
    square = [20, 20, 90, 20, 90, 90, 20, 90]
    images = [{"id": n, "file_name": f"{n}.jpg", "height": 120, "width": 160} for n in range(8)]
    for info in images:
        picture = rng.integers(0, 256, (120, 160, 3), dtype=np.uint8)
        cv2.imwrite(str(coco / "train2017" / str(info["file_name"])), picture)
    document = {
        "images": images,
        "categories": [{"id": n, "name": str(n)} for n in range(1, 81)],
        "annotations": [
            {"image_id": n, "category_id": 16 + n % 2, "segmentation": [square]} for n in range(8)
        ],
    }
    path = coco / "annotations" / "instances_train2017.json"
    path.write_text(json.dumps(document))
    options = SceneOptions(photographs=8, composites=6, wide=6, seed=1)
    made = mixed_scenes(Sources(coco), options)
    assert {kind for kind, _, _ in made} == {"photograph", "composite", "wide"}
    assert {watched for _, watched, _ in made} == {True, False}
    assert {name for _, _, scene in made for t in scene.things for name in t.names} <= {
        "cat",
        "dog",
    }
    for _, _, scene in made:
        assert scene.things and all(t.mask.shape == scene.image.shape[:2] for t in scene.things)
    again = mixed_scenes(Sources(coco), options)
    assert all((a.image == b.image).all() for (_, _, a), (_, _, b) in zip(made, again, strict=True))
    few = mixed_scenes(Sources(coco, without=frozenset(map(str, range(1, 8)))), options)
    assert len([kind for kind, _, _ in few if kind == "photograph"]) == 1
