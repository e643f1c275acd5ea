"""Small holes in mask logits, filled as the `sam2` package fills them (its CUDA extension)."""

import cv2
import numpy as np
import torch

HOLE_LOGIT = 0.1  # what a filled cell is given: just above the threshold


def fill_holes(logits: torch.Tensor, max_area: int) -> torch.Tensor:
    """[B, h, w] mask logits with every background component of at most `max_area` cells filled.

    Components are 8-connected, also those at the picture's edge count (`fill_holes_in_mask_scores`
    in sam2/utils/misc.py). OpenCV finds them on the CPU, whatever the device. 0: nothing is filled.
    """
    if max_area <= 0:
        return logits
    background = (logits <= 0).cpu().numpy()
    holes = np.stack([_small(one, max_area) for one in background])
    if not holes.any():
        return logits
    return torch.where(torch.from_numpy(holes).to(logits.device), HOLE_LOGIT, logits)


def _small(background: np.ndarray, max_area: int) -> np.ndarray:
    """[h, w] bool: cells of components with at most `max_area` cells."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(
        background.astype(np.uint8), connectivity=8
    )
    small = stats[:, cv2.CC_STAT_AREA] <= max_area
    small[0] = False  # the foreground
    found: np.ndarray = small[labels]
    return found
