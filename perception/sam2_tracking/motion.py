"""A constant-velocity Kalman filter on a box: where a masklet should be next (SAMURAI).

State and noise are those of the DeepSORT filter that SAMURAI takes (sam2/utils/kalman_filter.py):
centre, aspect ratio, height, and their speeds.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from stream.geometry import FloatBox, mask_box

Vector = npt.NDArray[np.float64]

PLACE_NOISE = 1 / 20  # of the box's height: standard deviation of a place
SPEED_NOISE = 1 / 160  # of the box's height: how much the speed changes a frame
ASPECT_NOISE, ASPECT_SPEED_NOISE, MEASURED_ASPECT_NOISE = 1e-2, 1e-5, 1e-1


@dataclass(frozen=True, slots=True, eq=False)
class BoxMotion:
    """Centre, aspect ratio and height with their speeds, and how sure of them we are."""

    mean: Vector  # [8] cx, cy, w / h, h in logit cells, and their change a frame
    covariance: Vector  # [8, 8]
    stable: int = 1  # frames in a row with a good mask

    @property
    def box(self) -> FloatBox:
        """The box it stands for."""
        cx, cy, aspect, height = (float(value) for value in self.mean[:4])
        width = aspect * height
        return cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2


def start_motion(box: FloatBox) -> BoxMotion:
    """At rest at a box."""
    measured = _measured(box)
    noise = _noise(measured[3], 2.0, ASPECT_NOISE, 10.0)
    return BoxMotion(np.concatenate([measured, np.zeros(4)]), np.diag(noise**2))


def predicted(motion: BoxMotion) -> BoxMotion:
    """One frame later."""
    step = np.eye(8)
    step[:4, 4:] = np.eye(4)
    noise = _noise(motion.mean[3], 1.0, ASPECT_NOISE, 1.0)
    covariance = step @ motion.covariance @ step.T + np.diag(noise**2)
    return BoxMotion(step @ motion.mean, covariance, motion.stable)


def updated(motion: BoxMotion, box: FloatBox) -> BoxMotion:
    """With the box that was seen there."""
    noise = _noise(motion.mean[3], 1.0, MEASURED_ASPECT_NOISE, 1.0)[:4]
    seen = motion.covariance[:4, :4] + np.diag(noise**2)
    gain = motion.covariance[:, :4] @ np.linalg.inv(seen)
    mean = motion.mean + gain @ (_measured(box) - motion.mean[:4])
    covariance = motion.covariance - gain @ motion.covariance[:4]
    return BoxMotion(mean, covariance, motion.stable + 1)


def logits_box(logits: torch.Tensor) -> FloatBox | None:
    """Tight box of the cells above 0 of [h, w] logits; None when there are none."""
    return mask_box((logits > 0).cpu().numpy())


def _measured(box: FloatBox) -> Vector:
    x0, y0, x1, y1 = box
    height = max(1.0, y1 - y0)
    return np.array([(x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / height, height])


def _noise(height: float, place: float, aspect: float, speed: float) -> Vector:
    """[8] standard deviations: `place` and `speed` count the filter's own."""
    at, of = place * PLACE_NOISE * height, speed * SPEED_NOISE * height
    return np.array([at, at, aspect, at, of, of, ASPECT_SPEED_NOISE, of])
