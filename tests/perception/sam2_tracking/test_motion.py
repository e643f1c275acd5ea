"""Motion of a box, and the choices it leads to."""

from dataclasses import replace

import torch

from perception.sam2.types import MaskCandidates
from perception.sam2_tracking.motion import logits_box, predicted, start_motion, updated
from perception.sam2_tracking.policies import MemoryRules
from perception.sam2_tracking.state import Sam2Config, Sam2Track
from stream.geometry import box_iou


def box_at(x: float) -> tuple[float, float, float, float]:
    return x, 10.0, x + 8, 18.0


def logits_at(x: int) -> torch.Tensor:
    logits = torch.full((32, 64), -5.0)
    logits[10:18, x : x + 8] = 5.0
    return logits


def moving(frames: int) -> Sam2Track:
    motion = start_motion(box_at(0))
    for index in range(1, frames):
        motion = updated(predicted(motion), box_at(2.0 * index))
    return Sam2Track(1, (), (), (), frames, logits_at(0), 1.0, 1.0, replace(motion, stable=frames))


def test_the_filter_learns_a_steady_motion() -> None:
    motion = moving(20).motion
    assert motion is not None
    assert box_iou(predicted(motion).box, box_at(40)) > 0.9


def test_a_box_of_logits() -> None:
    assert logits_box(logits_at(5)) == (5.0, 10.0, 13.0, 18.0)
    assert logits_box(torch.zeros(4, 4)) is None
    assert box_iou(box_at(0), None) == 0.0 and box_iou(box_at(0), box_at(0)) == 1.0


def test_motion_chooses_among_masks_of_like_quality() -> None:
    track = moving(20)
    masks = torch.stack([logits_at(2), logits_at(40)])[None]  # a look-alike, and where it should be
    found = MaskCandidates(masks, torch.tensor([[0.9, 0.8]]), torch.zeros(1, 2, 4), torch.ones(1))
    samurai = MemoryRules(Sam2Config(policy="samurai"), 6, 15)
    assert samurai.pick([track], found) == [1]
    fresh = replace(track, motion=replace(track.motion, stable=3))  # type: ignore[type-var]
    assert samurai.pick([fresh], found) == [0], "motion has no say before it is stable"
    assert MemoryRules(Sam2Config(), 6, 15).pick([track], found) is None, "the best, unseen"
