"""The streaming tracker against the `sam2` package: its checkpoint, its predictor, same masks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from skimage import data

from perception.masks.prompts import BoxPrompt, MaskPrompt, PointsPrompt, Prompt
from perception.sam2.convert import RENAMES, rename
from perception.sam2_tracking.open import load_sam2_tracker
from perception.sam2_tracking.state import Sam2Config
from stream.frame import Frame, Mask
from stream.geometry import decode_mask, mask_iou
from tests.doubles.sam2_random import randomise

SIDE = 128
FRAMES = 17  # beyond the pointers' reach
LATE = 8


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def predictor() -> Any:
    """The package's own SAM 2.1-tiny predictor with random weights, at a small picture size."""
    build = pytest.importorskip("sam2.build_sam", reason="the sam2 package is not installed")
    model = build.build_sam2_video_predictor(
        "configs/sam2.1/sam2.1_hiera_t.yaml",
        None,
        device="cpu",
        hydra_overrides_extra=[f"++model.image_size={SIDE}"],
    )
    model.fill_hole_area = 0  # needs its CUDA kernel
    randomise(model, 2)
    with torch.no_grad():
        model.sam_mask_decoder.pred_obj_score_head.layers[2].bias.fill_(2.0)
        tokens = model.forward_image(torch.randn(1, 3, SIDE, SIDE))["backbone_fpn"][-1]
        for conv in model.image_encoder.neck.convs:
            conv.conv.weight.div_(tokens.std())
            conv.conv.bias.div_(tokens.std())
    return model


def square(x: int, y: int, side: int = 40) -> Mask:
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    mask[y : y + side, x : x + side] = True
    return mask


def write_clip(folder: Path) -> list[Frame]:
    """JPEG files for the package, and the pictures they decode to."""
    from PIL import Image

    folder.mkdir()
    frames = []
    still = cv2.resize(data.astronaut(), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    for index in range(FRAMES):
        turn = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), 2.0 * index, 1 + 0.01 * index)
        picture = cv2.warpAffine(still, turn, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT)
        path = folder / f"{index:05d}.jpg"
        Image.fromarray(picture).save(path, quality=95)
        image = np.array(Image.open(path).convert("RGB"))
        frames.append(Frame(index * 100_000_000, 0, image, "jpeg"))
    return frames


def prompt_package(model: Any, state: Any, index: int, name: int, prompt: Prompt) -> None:
    if isinstance(prompt, MaskPrompt):
        model.add_new_mask(state, index, name, prompt.mask)
    elif isinstance(prompt, BoxPrompt):
        model.add_new_points_or_box(state, index, name, box=np.array(prompt.box, np.float32))
    else:
        points, labels = np.array(prompt.points, np.float32), np.array(prompt.labels, np.int32)
        model.add_new_points_or_box(state, index, name, points=points, labels=labels)


PLAN: list[tuple[int, Prompt]] = [
    (0, BoxPrompt((40, 30, 110, 110))),
    (0, PointsPrompt(((100.0, 40.0),), (True,))),
    (0, MaskPrompt(square(70, 70))),
    (LATE, PointsPrompt(((60.0, 60.0), (20.0, 20.0)), (True, False))),
]


def package_masks(model: Any, clip: Path) -> list[list[Mask]]:
    """The package's masks, frame by frame; the last object joins between two propagations."""
    state = model.init_state(str(clip))
    found: dict[int, list[Mask]] = {}
    for start, count in ((0, LATE - 1), (LATE, None)):
        for name, (index, prompt) in enumerate(PLAN):
            if index == start:
                prompt_package(model, state, index, name, prompt)
        for index, _, logits in model.propagate_in_video(state, start, count):
            found[index] = [np.asarray(mask) for mask in (logits[:, 0] > 0).numpy()]
    return [found[index] for index in range(FRAMES)]


def test_masks_equal_the_sam2_package(predictor: Any, tmp_path: Path) -> None:
    frames = write_clip(tmp_path / "clip")
    checkpoint = tmp_path / "sam2.pt"
    torch.save({"model": predictor.state_dict()}, checkpoint)
    tracker = load_sam2_tracker(checkpoint, Sam2Config(fill_hole_area=0), image_size=SIDE)
    expected = package_masks(predictor, tmp_path / "clip")
    state, areas = tracker.init_state(), []
    for index, frame in enumerate(frames):
        for start, prompt in PLAN:
            if start == index:
                state, _ = tracker.add(state, frame, None, prompt)
        state, regions = tracker.step(state, frame)
        found = [decode_mask(region.mask) for region in regions]
        assert len(found) == len(expected[index])
        scores = [mask_iou(a, b) for a, b in zip(found, expected[index], strict=True)]
        assert min(scores) >= 0.99, (index, scores)
        areas.append(found[0].mean())
    assert 0.05 < np.mean(areas) < 0.95, "masks must be neither empty nor everything"


def test_every_parameter_has_its_place(predictor: Any) -> None:
    weights = predictor.state_dict()
    renamed = rename(weights)
    assert sum(v.numel() for v in weights.values()) <= sum(v.numel() for v in renamed.values())
    assert len(RENAMES) == len({pattern for pattern, _ in RENAMES})
