"""A closer look at a frame: overlapping windows, and the names that several of them agree on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from perception.features.backbone import Posteriors
from perception.scene.name_matching import Posterior
from perception.scene.recogniser import Recogniser
from stream.frame import Image
from stream.geometry import Box

MAX_WINDOWS = 6  # sides of a window that the longer side of a frame may hold
WINDOW_SIDES = (0.65, 0.4)  # of the frame's shorter side
VOTES = 3  # views that must agree on a name


@dataclass(frozen=True, slots=True, eq=False)
class Surroundings:
    """What each window of a frame may show."""

    windows: tuple[Box, ...]
    posteriors: Posteriors  # [windows, C]

    def best(self, match: Posterior) -> tuple[Box, float]:
        """The window that fits a [C] match best, and how well, 0..1."""
        fits = self.posteriors @ match
        number = int(fits.argmax())
        return self.windows[number], float(fits[number])


def look_around(recogniser: Recogniser, image: Image) -> Surroundings:
    """Name every window of a frame [H, W, 3]."""
    boxes = windows((image.shape[0], image.shape[1]))
    crops = [image[y0:y1, x0:x1] for x0, y0, x1, y1 in boxes]
    return Surroundings(tuple(boxes), recogniser.classify(crops, [None] * len(crops)))


def agreed(posteriors: Sequence[Posterior]) -> Posterior:
    """[C] mean of the VOTES highest probabilities of each class over several views of a frame.

    One window errs often; what several overlapping ones show is there.
    """
    ranked = np.sort(np.stack(posteriors), axis=0)[::-1]
    return np.asarray(ranked[:VOTES].mean(axis=0), np.float32)


def windows(size: tuple[int, int]) -> list[Box]:
    """Square windows that cover a frame of (height, width) with half overlap, large ones first."""
    height, width = size
    boxes: list[Box] = []
    for share in WINDOW_SIDES:
        # A long strip gets windows of its length, or there would be hundreds.
        side = max(1, round(max(share * min(height, width), max(height, width) / MAX_WINDOWS)))
        side_y, side_x = min(side, height), min(side, width)
        rows = np.linspace(0, height - side_y, max(1, round(2 * (height - side_y) / side) + 1))
        cols = np.linspace(0, width - side_x, max(1, round(2 * (width - side_x) / side) + 1))
        boxes += [(int(x), int(y), int(x) + side_x, int(y) + side_y) for y in rows for x in cols]
    return boxes
