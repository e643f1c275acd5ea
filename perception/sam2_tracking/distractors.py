"""Whether the decoder's other masks show something beside the object (DAM4SAM, CVPR 2025)."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch

from stream.frame import Mask
from stream.geometry import box_iou, mask_box


def stands_apart(chosen: torch.Tensor, others: Sequence[torch.Tensor], limit: float) -> bool:
    """Whether another [h, w] mask of logits reaches away from the chosen one.

    As in dam4sam_tracker.py: of each other mask the largest component off the chosen one is joined
    to it; where that box overlaps the chosen one's by `limit` (IoU) or less, there is a distractor.
    """
    mask = (chosen > 0).cpu().numpy()
    box = mask_box(mask)
    if box is None:
        return False
    for other in others:
        apart = (other > 0).cpu().numpy() & ~mask
        if apart.any() and box_iou(box, mask_box(mask | _largest(apart))) <= limit:
            return True
    return False


def _largest(mask: Mask) -> Mask:
    """The largest 8-connected component of a mask that is not empty."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    found: Mask = labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    return found
