"""The streaming tracker against transformers' own session: same weights, same frames, same masks.

Both load one folder of random weights through `from_pretrained`. With random weights every object
slowly comes to the same mask, so masks alone would prove little: the logits are compared too, to a
hundredth of what tells two objects apart.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage import data

from perception.masks.prompts import BoxPrompt, MaskPrompt, PointsPrompt, Prompt
from perception.sam2_tracking.open import load_model, load_sam2_tracker
from perception.sam2_tracking.state import Sam2Config, Sam2State
from perception.sam2_tracking.tracker import Sam2Tracker
from stream.frame import Frame, Mask
from stream.geometry import decode_mask, mask_iou
from tests.doubles.sam2_random import random_model, tiny_config, tiny_edgetam_config

HEIGHT, WIDTH = 120, 160
FRAMES = 20  # beyond the 7 memory frames and the 16 pointers
LATE = 6  # the frame on which one object is added
PLAIN = Sam2Config(fill_hole_area=0)  # transformers fills no holes


def make_frames(count: int) -> list[Frame]:
    """A photograph that turns and grows."""
    image = cv2.resize(data.astronaut(), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    frames = []
    for index in range(count):
        turn = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), 2.0 * index, 1 + 0.01 * index)
        picture = cv2.warpAffine(image, turn, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)
        frames.append(Frame(index * 100_000_000, 0, picture, "turning"))
    return frames


def square(x: int, y: int, side: int = 40) -> Mask:
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[y : y + side, x : x + side] = True
    return mask


def as_the_package(model: Any) -> Any:
    """transformers' model with a mask prompt's pointer and memory as the sam2 package makes them:
    of the single mask token and of the quarter-size mask. Its own takes the best of three tokens
    and the whole mask."""
    answer, single = model._use_mask_as_output, model._single_frame_forward

    def use_mask(*args: Any, **more: Any) -> Any:
        model._single_frame_forward = partial(single, multimask_output=False)
        out = answer(*args, **more)
        model._single_frame_forward = single
        side = out.high_res_masks.shape[-2:]
        out.high_res_masks = F.interpolate(out.pred_masks, side, mode="bilinear")
        return out

    model._use_mask_as_output = use_mask
    return model


class Reference:
    """transformers' session for one object (it binarises every object's memory on a frame where
    any object is prompted, so objects added late are compared in sessions of their own)."""

    def __init__(self, model: Any, size: int) -> None:
        from transformers import EdgeTamVideoInferenceSession, Sam2VideoInferenceSession

        edge = model.config.model_type == "edgetam_video"
        self._session = (EdgeTamVideoInferenceSession if edge else Sam2VideoInferenceSession)(
            dtype=torch.float32
        )
        self._model, self._size = model, size

    def prompt(self, index: int, prompt: Prompt) -> None:
        session, slot = self._session, self._session.obj_id_to_idx(1)
        if isinstance(prompt, MaskPrompt):
            mask = torch.from_numpy(prompt.mask)[None, None].float()
            side = (self._size, self._size)
            soft = F.interpolate(mask, side, mode="bilinear", align_corners=False, antialias=True)
            session.add_mask_inputs(slot, index, (soft >= 0.5).float())
        else:
            box = isinstance(prompt, BoxPrompt)
            values = prompt.box if isinstance(prompt, BoxPrompt) else prompt.points
            points = torch.tensor(values, dtype=torch.float32).reshape(1, 1, -1, 2)
            points = points / torch.tensor([WIDTH, HEIGHT]) * self._size
            kinds = [2, 3] if box else [int(on) for on in prompt.labels]  # type: ignore[union-attr]
            labels = torch.tensor([[kinds]], dtype=torch.int32)
            inputs = {"point_coords": points, "point_labels": labels}
            session.add_point_inputs(slot, index, inputs)
        session.obj_with_new_inputs = [1]

    def step(self, index: int, pixels: torch.Tensor) -> torch.Tensor:
        out = self._model(self._session, frame_idx=index, frame=pixels)
        logits: torch.Tensor = out.pred_masks[0, 0].float()
        return logits


def mask_of(logits: torch.Tensor) -> Mask:
    full = F.interpolate(logits[None, None], (HEIGHT, WIDTH), mode="bilinear", align_corners=False)
    return np.asarray((full[0, 0] > 0).numpy())


def logits_of(state: Sam2State, track_id: int) -> torch.Tensor:
    return next(track.logits for track in state.tracks if track.track_id == track_id)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny networks run slower on many threads, most of all on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sam2")
    random_model(tiny_config(), seed=1).save_pretrained(path)
    return path


def compare(tracker: Sam2Tracker, model: Any, plan: list[tuple[int, Prompt]]) -> float:
    """Run both over the same frames; returns the smallest IoU and checks the logits."""
    size = tracker.networks.image_size
    references = [Reference(model, size) for _ in plan]
    state, ids, worst, spread = tracker.init_state(), [0] * len(plan), 1.0, []
    for index, frame in enumerate(make_frames(FRAMES)):
        for slot, (start, prompt) in enumerate(plan):
            if start == index:
                state, ids[slot] = tracker.add(state, frame, None, prompt)
                references[slot].prompt(index, prompt)
        state, regions = tracker.step(state, frame)
        pixels = tracker.networks.pixels(frame.image)
        masks = {region.track_id: decode_mask(region.mask) for region in regions}
        for slot, (start, _) in enumerate(plan):
            if start > index:
                continue
            expected, got = references[slot].step(index, pixels), logits_of(state, ids[slot])
            worst = min(worst, mask_iou(masks[ids[slot]], mask_of(expected)))
            assert float((got - expected).norm() / expected.norm()) < 5e-3, (index, slot)
        if len(regions) > 1 and index > plan[-1][0]:
            first, second = logits_of(state, ids[0]), logits_of(state, ids[1])
            spread.append(float((first - second).norm() / first.norm()))
    assert not spread or float(np.mean(spread)) > 2e-2, "objects must differ for this to say much"
    return worst


def test_one_object_equals_transformers(folder: Path) -> None:
    tracker, model = load_sam2_tracker(folder, PLAIN), as_the_package(load_model(folder))
    assert compare(tracker, model, [(0, MaskPrompt(square(50, 30)))]) >= 0.99


def test_five_objects_one_added_late_equal_transformers(folder: Path) -> None:
    tracker, model = load_sam2_tracker(folder, PLAIN), as_the_package(load_model(folder))
    plan: list[tuple[int, Prompt]] = [
        (0, MaskPrompt(square(10, 10))),
        (0, MaskPrompt(square(90, 60))),
        (0, BoxPrompt((40, 30, 120, 110))),
        (0, PointsPrompt(((100.0, 40.0),), (True,))),
        (LATE, MaskPrompt(square(60, 20, 60))),
    ]
    assert compare(tracker, model, plan) >= 0.99


@pytest.mark.parametrize("size", [128, 64])  # as made, and smaller
def test_edgetam_equals_transformers(tmp_path: Path, size: int) -> None:
    random_model(tiny_edgetam_config(), seed=2).save_pretrained(tmp_path)
    tracker = load_sam2_tracker(tmp_path, PLAIN, image_size=size)
    model = as_the_package(load_model(tmp_path, size))
    plan: list[tuple[int, Prompt]] = [
        (0, MaskPrompt(square(10, 10))),
        (3, MaskPrompt(square(90, 60))),
    ]
    assert compare(tracker, model, plan) >= 0.99


def test_pixels_equal_the_processor(folder: Path) -> None:
    from transformers import Sam2ImageProcessor, Sam2VideoProcessor, Sam2VideoVideoProcessor

    tracker = load_sam2_tracker(folder, Sam2Config(resize="bilinear"))
    frame = make_frames(3)[2]
    size = {"height": 128, "width": 128}
    processor = Sam2VideoProcessor(
        Sam2ImageProcessor(size=size), Sam2VideoVideoProcessor(size=size), target_size=128
    )
    expected = processor(images=frame.image, return_tensors="pt").pixel_values
    assert torch.allclose(tracker.networks.pixels(frame.image), expected, atol=1e-5)
