"""Small pictures, masks and runs that the tests of the SAM 2 tracker share."""

import numpy as np

from perception.sam2_tracking.state import Sam2State
from perception.sam2_tracking.tracker import Sam2Tracker
from stream.frame import Frame, Image, Mask

HEIGHT, WIDTH = 48, 64


def picture(index: int, size: tuple[int, int] = (HEIGHT, WIDTH)) -> Image:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (*size, 3), dtype=np.uint8)
    return np.roll(noise, index, axis=1)


def frame(index: int, size: tuple[int, int] = (HEIGHT, WIDTH)) -> Frame:
    return Frame(index * 1_000, 0, picture(index, size), "noise")


def blob(x: int = 20, y: int = 10) -> Mask:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y : y + 16, x : x + 16] = True
    return mask


def run(tracker: Sam2Tracker, state: Sam2State, start: int, stop: int) -> Sam2State:
    for index in range(start, stop):
        state, _ = tracker.step(state, frame(index))
    return state
