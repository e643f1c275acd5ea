"""Our masks, pointers and memories beside the `sam2` package's, on the same pixels."""

import tempfile
from pathlib import Path

import torch

from benchmarks.sam2_runners import HEIGHT, WIDTH, make_frames, make_masks
from perception.masks.prompts import BoxPrompt, MaskPrompt, PointsPrompt
from perception.sam2_tracking.open import load_sam2_tracker
from perception.sam2_tracking.reference import PackageSession, write_clip
from perception.sam2_tracking.verification import Step, compare, exact_config
from stream.errors import ConfigError
from tests.doubles.sam2_random import random_predictor

LEAST_IOU = 0.99
BOX = BoxPrompt((WIDTH // 4, HEIGHT // 4, 3 * WIDTH // 4, 3 * HEIGHT // 4))
POINT = PointsPrompt(((WIDTH * 0.6, HEIGHT * 0.3),))
CLICKS = PointsPrompt(((WIDTH * 0.4, HEIGHT * 0.5), (20.0, 20.0)), (True, False))


def _plans() -> dict[str, tuple[int, list[Step]]]:
    """Frames and prompts of each row."""
    masks = [MaskPrompt(mask) for mask in make_masks(3)]
    five = [Step(0, name, mask) for name, mask in enumerate(masks)]
    five += [Step(0, 3, BOX), Step(2, 4, POINT)]
    mended = [Step(4, 0, CLICKS), Step(5, 3, BOX), Step(6, 4, masks[1])]
    return {
        "mask_1": (8, [Step(0, 0, masks[0])]),
        "box_1": (8, [Step(0, 0, BOX)]),
        "point_1": (8, [Step(0, 0, POINT)]),
        "corrected_1": (8, [Step(0, 0, masks[0]), Step(4, 0, CLICKS)]),
        "all_5": (8, five + mended),
        "mask_1_40_frames": (40, [Step(0, 0, masks[0])]),
        "all_5_40_frames": (40, five + mended),
    }


def equality(size: int) -> dict[str, dict[str, float | int | None]]:
    """Row -> least IoU, largest difference and distance of pointers and memories; {} without sam2.

    Both have the same random weights, scaled so that parts differ visibly.
    """
    try:
        predictor = random_predictor(size)
    except ConfigError:
        return {}
    rows: dict[str, dict[str, float | int | None]] = {}
    with tempfile.TemporaryDirectory() as place:
        checkpoint = Path(place) / "sam2.1_hiera_tiny.pt"
        torch.save({"model": predictor.state_dict()}, checkpoint)
        for name, (count, plan) in _plans().items():
            folder = Path(place) / name
            folder.mkdir()
            frames = write_clip([frame.image for frame in make_frames(count)], folder)
            tracker = load_sam2_tracker(checkpoint, exact_config(count), image_size=size)
            found = compare(PackageSession(predictor, folder), tracker, frames, plan)
            parts = {row.component: row for row in found}
            pointers, memory = parts["object pointers"], parts["memory tokens"]
            rows[f"equal_{name}"] = {
                "least_iou": 1 - parts["masks"].difference,
                "logit_difference": parts["mask logits"].difference,
                "pointer_difference": pointers.difference,
                "pointer_distance": pointers.distance,
                "memory_difference": memory.difference,
                "memory_distance": memory.distance,
            }
    return rows
