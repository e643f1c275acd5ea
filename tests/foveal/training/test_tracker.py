"""Composites, the head, and one short run of its training, on rendered photographs."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from skimage import data

from foveal.training.tracker.augment import augment, head_loss, keep
from foveal.training.tracker.composites import SIZE, render_clip
from foveal.training.tracker.cutouts import (
    CutOut,
    bars,
    blob,
    read_cut_outs,
    read_salient,
    read_stamps,
    read_yolo_cut_outs,
)
from foveal.training.tracker.train import Student, TrainConfig, order, roll, train
from perception.features.backbone import Backbone
from perception.tracking.cues import Cues, blend
from perception.tracking.head import CHANNELS, DEEP, CueNet, NetRefiner
from perception.tracking.roi import CELLS, ROI, RoiWindow, crop, paste, window_around
from perception.tracking.tracker import EmbeddedTracker
from stream.errors import AssetError


@pytest.fixture
def photographs(tmp_path: Path) -> tuple[Path, Path]:
    """Two annotated pictures in COCO's form, and one object too small to use."""
    for name, image in (("1.png", data.astronaut()), ("2.png", data.chelsea())):
        cv2.imwrite(str(tmp_path / name), image[..., ::-1])
    square = [150, 20, 290, 20, 290, 200, 150, 200]
    notes = [(1, square), (2, [100, 50, 300, 50, 300, 250, 100, 250]), (2, [5, 5, 9, 5, 9, 9])]
    document = {
        "images": [
            {"id": 1, "file_name": "1.png", "height": 512, "width": 512},
            {"id": 2, "file_name": "2.png", "height": 300, "width": 451},
        ],
        "annotations": [
            {"image_id": image, "category_id": 1, "segmentation": [polygon], "iscrowd": 0}
            for image, polygon in notes
        ],
    }
    (tmp_path / "notes.json").write_text(json.dumps(document))
    return tmp_path, tmp_path / "notes.json"


@pytest.fixture
def grounds(photographs: tuple[Path, Path]) -> list[Path]:
    return sorted(photographs[0].glob("*.png"))


@pytest.fixture
def cuts(photographs: tuple[Path, Path]) -> list[CutOut]:
    return read_cut_outs(*photographs)


def _cues(level: float, count: int) -> list[Cues]:
    flat = np.full((ROI, ROI), level, np.float32)
    colour = np.zeros((ROI, ROI, 3), np.float32)
    window = RoiWindow(0.1, 0.1, 0.6, 0.6)
    none = np.zeros_like(flat)
    key = torch.full((DEEP, 20, 36), 0.05)
    maps = (colour, flat, flat, flat, none, flat, flat)
    return [Cues(1, window, *maps, key) for _ in range(count)]


def test_small_objects_are_left_out(cuts: list[CutOut]) -> None:
    assert [cut.path.name for cut in cuts] == ["1.png", "2.png"]


def test_yolo_polygons_are_read_too(tmp_path: Path) -> None:
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    cv2.imwrite(str(tmp_path / "images" / "a.jpg"), data.chelsea()[..., ::-1])
    lines = "15 0.2 0.2 0.7 0.2 0.7 0.8 0.2 0.8\n15 0.01 0.01 0.02 0.01 0.02 0.02\n"
    (tmp_path / "labels" / "a.txt").write_text(lines)
    (cut,) = read_yolo_cut_outs([tmp_path / "images" / "a.jpg"], tmp_path / "labels")
    assert cut.category == 1015
    assert (cut.mask > 0).mean() == pytest.approx(0.3, abs=0.01)


def test_stamps_are_photographs_with_alpha(tmp_path: Path) -> None:
    cat = np.dstack([data.chelsea()[..., ::-1], np.zeros((300, 451), np.uint8)])
    cat[50:250, 100:350, 3] = 255
    drawing = cat.copy()
    drawing[..., :3] = 40
    for name, picture in (("cat", cat), ("cat_mirror", cat), ("drawing", drawing)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), picture)
    (cut,) = read_stamps(tmp_path)
    assert cut.path.name == "cat.png"
    assert (cut.mask > 0).sum() == 200 * 250


def test_blobs_and_bars_leave_some_of_the_picture(grounds: list[Path]) -> None:
    rng = np.random.default_rng(0)
    for make in (blob, bars):
        share = (make(grounds[0], rng).mask > 0).mean()
        assert 0.01 < share < 0.6


def test_clips_are_the_same_for_the_same_seed(cuts: list[CutOut], grounds: list[Path]) -> None:
    one, two = (render_clip(cuts, grounds, np.random.default_rng(3), 3) for _ in range(2))
    assert one.images[0].shape == (*SIZE, 3)
    assert one.masks.shape[1:] == (3, *SIZE)
    assert one.masks[:, 0].sum((1, 2)).min() > 600
    assert all(np.array_equal(a, b) for a, b in zip(one.images, two.images, strict=True))
    assert not np.array_equal(one.images[0], one.images[2])


def test_the_head_is_saved_loaded_and_batches_alike(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = CueNet()
    save_file(net.state_dict(), tmp_path / "head.safetensors")
    refiner = NetRefiner.load(tmp_path / "head.safetensors")
    low, high = _cues(0.1, 1)[0], _cues(0.9, 1)[0]
    alone, (first, second) = refiner([low])[0], refiner([low, high])
    assert alone.shape == (ROI, ROI)
    assert np.allclose(alone, first, atol=1e-4)
    assert second.mean() > first.mean()


def test_wrong_weights_are_refused(tmp_path: Path) -> None:
    save_file({"other": torch.zeros(2)}, tmp_path / "wrong.safetensors")
    with pytest.raises(AssetError, match="weights of CueNet"):
        NetRefiner.load(tmp_path / "wrong.safetensors")


def test_training_runs_and_moves_the_weights(
    cuts: list[CutOut], grounds: list[Path], random_backbone: Backbone
) -> None:
    torch.manual_seed(1)
    before = CueNet()
    config = TrainConfig(seed=1, clips=1, frames=3, visits=2, steps=1, batch=2)
    trained = train(random_backbone, cuts, grounds, config)
    assert any(
        not torch.equal(a, b)
        for a, b in zip(before.parameters(), trained.parameters(), strict=True)
    )
    assert all(bool(torch.isfinite(w).all()) for w in trained.parameters())


def test_a_student_keeps_a_bounded_number_of_samples(
    cuts: list[CutOut], grounds: list[Path], random_backbone: Backbone
) -> None:
    rng = np.random.default_rng(3)
    student = Student(CueNet(), rng, kept=2)
    student.mode = "mixed"
    tracker = EmbeddedTracker(random_backbone, None, student)
    roll(tracker, student, render_clip(cuts, grounds, rng, 4), [0, 1, 2, 3, 2, 1])
    assert len(student.samples) == 2
    sample = student.samples[0]
    assert sample.maps.shape == (CHANNELS + 1, ROI, ROI)
    assert sample.dense.shape == (DEEP, CELLS, CELLS) and sample.dense.dtype == torch.int8


def test_samples_come_back_as_they_were_but_for_what_is_varied(cuts: list[CutOut]) -> None:
    torch.manual_seed(2)
    truth = np.zeros((ROI, ROI), np.float32)
    truth[20:90, 30:100] = 1
    batch = augment([keep(_cues(0.5, 1)[0], truth)] * 4)
    assert batch.planes.shape == (4, CHANNELS, ROI, ROI) and batch.truth.shape == (4, ROI, ROI)
    assert batch.dense.shape == (4, DEEP, CELLS, CELLS)
    assert float(batch.dense.mean()) == pytest.approx(0.05, abs=0.02)
    assert 0.05 < float(batch.truth.mean()) < 0.6
    perfect = head_loss(40 * batch.truth - 20, torch.zeros(4, CELLS, CELLS), batch.truth)
    assert perfect < head_loss(torch.zeros(4, ROI, ROI), torch.zeros(4, CELLS, CELLS), batch.truth)


def test_clips_are_shown_in_many_orders(cuts: list[CutOut], grounds: list[Path]) -> None:
    rng = np.random.default_rng(0)
    clip = render_clip(cuts, grounds, rng, 4)
    orders = {tuple(order(clip, rng)) for _ in range(60)}
    assert {(0, 1, 2, 3), (3, 2, 1, 0), (0, 1, 2, 3, 2, 1, 0)} <= orders
    assert all(abs(a - b) in (1, 2) for shown in orders for a, b in pairwise(shown))


def test_what_the_backbone_looks_at_is_an_object_too(
    grounds: list[Path], random_backbone: Backbone
) -> None:
    found = read_salient(grounds, range(len(grounds)), random_backbone)
    assert all(0.02 <= (cut.mask > 0).mean() <= 0.6 for cut in found)
    assert {cut.category for cut in found} <= {2000, 2001}


def test_blend_of_agreeing_cues_is_their_value_tilted_by_colour() -> None:
    cues = _cues(0.7, 1)[0]
    assert np.allclose(blend([replace(cues, odds=cues.residual)])[0], 0.7, atol=1e-5)
    assert (blend([cues])[0] > 0.7).all()
    assert (blend([replace(cues, odds=-cues.odds)])[0] < 0.7).all()


def test_windows_crop_and_paste_back() -> None:
    mask = np.zeros((120, 200), np.float32)
    mask[30:80, 60:140] = 1
    window = window_around(mask, 0.5)
    assert window is not None
    back = paste(crop(mask, window), window, 120, 200)
    assert ((back >= 0.5) != (mask > 0)).sum() <= 8
    assert window_around(np.zeros((4, 4), np.float32), 0.5) is None
