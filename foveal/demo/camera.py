"""The head camera of the demo clip: where it looks, how it shakes, what its exposure does.

A head rests, jumps to the next thing (a saccade) or turns to it (a pan). All of it is a function of
time and a seed, so that the same seed gives the same clip.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from foveal.demo.scene import Matrix

Move = Literal["saccade", "pan"]
MOVE_S: dict[Move, float] = {"saccade": 0.09, "pan": 0.9}
SCRIPT_S = 45.0
SHAKE_HZ = (0.35, 0.9, 1.7, 3.1, 5.3)
SHAKE_PX = (9.0, 5.0, 3.0, 1.6, 0.9)  # at 1280x720: a standing person
ROLL_DEG = (0.7, 0.35, 0.2, 0.08, 0.04)
BREATH_ZOOM = (0.012, 0.004, 0.0, 0.0, 0.0)
EXPOSURE_DIP = 0.32  # gain error right after the head has moved
EXPOSURE_S = 0.45  # time in which auto-exposure settles


@dataclass(frozen=True, slots=True)
class Fixation:
    """A rest on one part of the wall."""

    start_s: float
    centre: tuple[float, float]  # wall pixels
    zoom: float  # frame pixels (at 1280x720) per wall pixel
    move: Move = "saccade"  # how the head gets here
    exposure: float = 0.0  # sign and share of EXPOSURE_DIP on arrival


SCRIPT: tuple[Fixation, ...] = (
    Fixation(0.0, (555, 495), 1.0),  # the coffee
    Fixation(1.7, (590, 515), 1.08, "pan"),
    Fixation(3.6, (1680, 495), 0.98, "saccade", -0.7),  # the cat
    Fixation(5.4, (1710, 480), 1.05, "pan"),
    Fixation(6.9, (2895, 500), 1.06, "pan", 0.5),  # the page
    Fixation(9.6, (4145, 500), 0.97, "saccade", -0.5),  # the man with a camera
    Fixation(12.0, (1115, 505), 0.57, "saccade", 0.7),  # the coffee and the cat
    Fixation(18.0, (1680, 495), 0.98, "saccade", -0.6),  # the cat
    Fixation(20.2, (1710, 480), 1.05, "pan"),
    Fixation(22.6, (1115, 505), 0.57, "pan", 0.5),  # both, while listening
    Fixation(24.8, (1700, 475), 1.1, "saccade", -0.6),  # the cat
    Fixation(28.0, (2895, 500), 1.06, "pan", 0.5),  # the page, in passing
    Fixation(30.2, (4145, 500), 0.97, "saccade", -0.5),  # the man
    Fixation(32.4, (4175, 515), 1.04, "pan"),
    Fixation(35.0, (2895, 500), 1.0, "saccade", 0.5),  # the page, in passing
    Fixation(37.0, (555, 495), 1.0, "saccade", -0.4),  # the coffee
    Fixation(39.6, (590, 515), 1.08, "pan"),
    Fixation(42.2, (1115, 505), 0.57, "pan", 0.4),  # the coffee and the cat
)


@dataclass(frozen=True, slots=True)
class Pose:
    """The view of one instant."""

    x: float  # wall pixels at the middle of the frame
    y: float
    zoom: float  # frame pixels per wall pixel
    roll: float  # radians

    def matrix(self, wall_scale: float, width: int, height: int) -> Matrix:
        """Wall image pixels -> frame pixels."""
        zoom = self.zoom / wall_scale
        cos, sin = zoom * math.cos(self.roll), zoom * math.sin(self.roll)
        x, y = self.x * wall_scale, self.y * wall_scale
        return np.array(
            [
                [cos, -sin, width / 2 - cos * x + sin * y],
                [sin, cos, height / 2 - sin * x - cos * y],
            ]
        )


class HeadCamera:
    """The script with a seeded shake; stateless in time."""

    def __init__(self, seed: int, scale: float) -> None:
        rng = np.random.default_rng(seed)
        self._phases: npt.NDArray[np.float64] = rng.uniform(0, 2 * math.pi, (4, len(SHAKE_HZ)))
        self._scale = scale  # of the frame to 1280x720

    def pose(self, now_s: float) -> Pose:
        """Where the camera looks at a time of the clip."""
        x, y, zoom = self._target(now_s)
        shake_x, shake_y = (self._wobble(row, now_s, SHAKE_PX) for row in (0, 1))
        roll = math.radians(self._wobble(2, now_s, ROLL_DEG))
        zoom *= 1 + self._wobble(3, now_s, BREATH_ZOOM)
        return Pose(x + shake_x / zoom, y + shake_y / zoom, zoom * self._scale, roll)

    def gain(self, now_s: float) -> float:
        """Exposure error as a factor on the picture: auto-exposure that settles after each move."""
        rest = SCRIPT[_fixation_at(now_s)]
        since_s = now_s - rest.start_s - MOVE_S[rest.move] / 2
        error = rest.exposure * EXPOSURE_DIP * math.exp(-since_s / EXPOSURE_S) if since_s > 0 else 0
        slow = 0.04 * math.sin(2 * math.pi * 0.21 * now_s + self._phases[0, 0])
        return 1 + error + slow

    def _target(self, now_s: float) -> tuple[float, float, float]:
        index = _fixation_at(now_s)
        rest = SCRIPT[index]
        previous = SCRIPT[max(0, index - 1)]
        done = _minimum_jerk((now_s - rest.start_s) / MOVE_S[rest.move])
        x, y = (a + (b - a) * done for a, b in zip(previous.centre, rest.centre, strict=True))
        return x, y, previous.zoom + (rest.zoom - previous.zoom) * done

    def _wobble(self, row: int, now_s: float, sizes: tuple[float, ...]) -> float:
        phases = self._phases[row]
        return sum(
            size * math.sin(2 * math.pi * hertz * now_s + phase)
            for size, hertz, phase in zip(sizes, SHAKE_HZ, phases, strict=True)
        )


def _fixation_at(now_s: float) -> int:
    return max(index for index, rest in enumerate(SCRIPT) if rest.start_s <= max(0.0, now_s))


def _minimum_jerk(share: float) -> float:
    """Flash and Hogan, 1985: the smoothest way from 0 to 1, as heads and hands move."""
    t = min(1.0, max(0.0, share))
    return t * t * t * (10 - 15 * t + 6 * t * t)
