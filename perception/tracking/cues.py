"""What one frame tells of an object: cues in its window, to be turned into one sharp soft mask."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from perception.tracking.flow import (
    Flow,
    Grey,
    backward_flow,
    halved,
    make_grey,
    residual,
    warp_window,
)
from perception.tracking.roi import ROI, RoiWindow, colour_bins, colour_odds, crop
from perception.tracking.state import Track
from stream.frame import Image, SoftMask

FLOW_TRUST = 0.3  # weight of the moved mask where the flow fits
COLOUR_TILT = 0.2  # how much a pixel's colour alone moves the label
FIRST_SHARE = 0.4  # of the first frame, against all frames


@dataclass(frozen=True, slots=True, eq=False)
class FrameCues:
    """What one frame gives to all objects."""

    image: Image
    half: Image  # at half the size
    key: torch.Tensor  # [C, h, w]
    grey: Grey
    flow: Flow | None
    residual: SoftMask  # of the flow; one where there is none


@dataclass(frozen=True, slots=True, eq=False)
class Cues:
    """What is known of an object inside its window; every map [ROI, ROI] float32."""

    track_id: int
    window: RoiWindow
    colour: npt.NDArray[np.float32]  # [ROI, ROI, 3] RGB, 0..1
    both: SoftMask  # label read from all of memory
    first: SoftMask  # label carried from the first frame
    moved: SoftMask  # last mask moved by optical flow
    residual: SoftMask  # 0..1, how badly the flow explains the picture
    odds: SoftMask  # -1..1, by colour alone
    surety: SoftMask  # 0..1, best cosine to a remembered cell of the object
    key: torch.Tensor  # [C, h, w] features of the whole frame, shared by all objects


class Refiner(Protocol):
    """Cues of several objects -> one soft mask [ROI, ROI] each."""

    def __call__(self, cues: list[Cues]) -> list[SoftMask]: ...


def frame_cues(image: Image, key: torch.Tensor, before: Grey | None) -> FrameCues:
    """Of a [H, W, 3] picture with its features [C, h, w] and the small one before it."""
    half = halved(image)
    grey = make_grey(half)
    flow = None if before is None else backward_flow(grey, before)
    if flow is None or before is None:
        return FrameCues(image, half, key, grey, None, np.ones(grey.shape, np.float32))
    return FrameCues(image, half, key, grey, flow, residual(flow, grey, before))


def object_cues(view: FrameCues, track: Track, match: torch.Tensor, window: RoiWindow) -> Cues:
    """Of one object in the window where it should be; `match` [3, h, w] of `match_near`."""
    large = (window.x1 - window.x0) * view.half.shape[1] > 2 * ROI  # there is no more to see
    colour = crop(view.half if large else view.image, window)
    moved = warp_window(view.flow, track.soft, track.window, window)
    labels = crop(match.permute(1, 2, 0).cpu().numpy(), window)
    both, first, surety = (np.ascontiguousarray(labels[..., n]) for n in range(3))
    return Cues(
        track.track_id,
        window,
        colour / np.float32(255),
        both,
        first,
        moved if track.seen else both,
        crop(view.residual, window),
        colour_odds(track.colours, colour_bins(colour)),
        surety,
        view.key,
    )


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
