"""A constant-velocity Kalman filter on a box: where a masklet should be next (SAMURAI)."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from stream.geometry import FloatBox, mask_box

Vector = npt.NDArray[np.float64]

PLACE_NOISE = 1 / 20  # of the box's height: standard deviation of a measured place
SPEED_NOISE = 1 / 160  # of the box's height: how much the speed changes a frame


@dataclass(frozen=True, slots=True, eq=False)
class BoxMotion:
    """Centre, width and height with their speeds, and how sure of them we are."""

    mean: Vector  # [8] cx, cy, w, h in logit cells, and their change a frame
    covariance: Vector  # [8, 8]
    stable: int = 1  # frames in a row with a good mask

    @property
    def box(self) -> FloatBox:
        """The box it stands for."""
        cx, cy, width, height = (float(value) for value in self.mean[:4])
        return cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2


def start_motion(box: FloatBox) -> BoxMotion:
    """At rest at a box."""
    noise = np.array([2 * PLACE_NOISE] * 4 + [10 * SPEED_NOISE] * 4) * _height(box)
    return BoxMotion(np.concatenate([_measured(box), np.zeros(4)]), np.diag(noise**2))


def predicted(motion: BoxMotion) -> BoxMotion:
    """One frame later."""
    step = np.eye(8)
    step[:4, 4:] = np.eye(4)
    noise = np.array([PLACE_NOISE] * 4 + [SPEED_NOISE] * 4) * max(1.0, float(motion.mean[3]))
    covariance = step @ motion.covariance @ step.T + np.diag(noise**2)
    return BoxMotion(step @ motion.mean, covariance, motion.stable)


def updated(motion: BoxMotion, box: FloatBox) -> BoxMotion:
    """With the box that was seen there."""
    noise = np.diag(np.full(4, (PLACE_NOISE * _height(box)) ** 2))
    gain = motion.covariance[:, :4] @ np.linalg.inv(motion.covariance[:4, :4] + noise)
    mean = motion.mean + gain @ (_measured(box) - motion.mean[:4])
    covariance = motion.covariance - gain @ motion.covariance[:4]
    return BoxMotion(mean, covariance, motion.stable + 1)


def logits_box(logits: torch.Tensor) -> FloatBox | None:
    """Tight box of the cells above 0 of [h, w] logits; None when there are none."""
    return mask_box((logits > 0).cpu().numpy())


def _measured(box: FloatBox) -> Vector:
    x0, y0, x1, y1 = box
    return np.array([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0])


def _height(box: FloatBox) -> float:
    return max(1.0, box[3] - box[1])
