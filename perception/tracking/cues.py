"""Turn an object's cues in its window into one sharp soft mask."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from perception.tracking.roi import RoiWindow
from stream.frame import SoftMask

FLOW_TRUST = 0.3  # weight of the moved mask where the flow fits
COLOUR_TILT = 0.2  # how much a pixel's colour alone moves the label
FIRST_SHARE = 0.4  # of the first look, against all looks


@dataclass(frozen=True, slots=True, eq=False)
class Cues:
    """What is known of an object inside its window; every map [ROI, ROI] float32."""

    track_id: int
    window: RoiWindow
    colour: npt.NDArray[np.float32]  # [ROI, ROI, 3] RGB, 0..1
    both: SoftMask  # label read from all of memory
    first: SoftMask  # label carried from the first look
    moved: SoftMask  # last mask moved by optical flow
    residual: SoftMask  # 0..1, how badly the flow explains the picture
    odds: SoftMask  # -1..1, by colour alone
    surety: SoftMask  # 0..1, best cosine to a remembered cell of the object
    key: torch.Tensor  # [C, h, w] features of the whole frame, shared by all objects


class Refiner(Protocol):
    """Cues of several objects -> one soft mask [ROI, ROI] each."""

    def __call__(self, cues: list[Cues]) -> list[SoftMask]: ...


def blend(cues: list[Cues]) -> list[SoftMask]:
    """The training-free refiner: weighted mean of the carried labels, tilted by colour.

    No edge filter: its small errors feed back through memory and grow (see docs/log.md).
    """
    return [
        np.asarray(np.clip(_mean(each) + COLOUR_TILT * each.odds, 0, 1), np.float32)
        for each in cues
    ]


def _mean(cues: Cues) -> SoftMask:
    trust = FLOW_TRUST * (1 - cues.residual)
    label = FIRST_SHARE * cues.first + (1 - FIRST_SHARE) * cues.both
    return np.asarray(trust * cues.moved + (1 - trust) * label, np.float32)
