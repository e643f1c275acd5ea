"""Things with names and boxes: MobileNetV3-CenterNet on COCO's 80 classes.

Zhou et al., "Objects as Points", 2019; weights of 610265158/mobilenetv3_centernet as the npm
package @vladmandic/human carries them. One pass sees 512 x 512 pixels, 0 to 255.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from perception.detect.centernet import CenterNet
from perception.detect.coco import EVERYDAY
from perception.detect.letterbox import letterboxed, suppress, whole_pixels
from perception.device import CPU, Device
from perception.features.weights import load_parameters
from stream.frame import Image
from stream.geometry import Box, Boxes, box_ious

MODEL = "centernet.safetensors"
SIDE = 512
CELL = 4  # pixels
MAX_BOXES = 100
SAME_CLASS_IOU = 0.5  # above it two boxes of a class are one thing
SAME_PLACE_IOU = 0.7  # the same of two classes
MIN_SCORE = 0.2  # of the network; below it two of three boxes are wrong
# The network's scores are low for what they promise: the share of boxes of a score that are right,
# fitted on coco-mini's train half and coco128's first half.
SLOPE, MIDDLE = 14.0, 0.32

Maps = tuple[torch.Tensor, torch.Tensor]  # as `CenterNet` gives them


@dataclass(frozen=True, slots=True)
class Detection:
    """One thing that was found."""

    label: int  # index into EVERYDAY, which is in the order of COCO's classes
    probability: float  # 0..1, that box and name are right
    box: Box

    @property
    def name(self) -> str:
        """In plain words."""
        return EVERYDAY[self.label][0]


class Detector:
    """Frame -> detections."""

    def __init__(self, network: Callable[[torch.Tensor], Maps], device: Device = CPU) -> None:
        """`network` lies on `device` and takes pictures [1, 3, 512, 512] as `CenterNet` does."""
        self._network, self._device = network, device

    @classmethod
    def load(cls, weights: Path, device: Device = CPU) -> "Detector":
        """Read CenterNet's safetensors; raises AssetError when they do not fit."""
        network = load_parameters(CenterNet(), weights).to(device.name, device.dtype)
        return cls(network.to(memory_format=torch.channels_last), device)

    def detect(self, image: Image, min_score: float = MIN_SCORE) -> tuple[Detection, ...]:
        """What is in a [H, W, 3] uint8 RGB picture, surest first; names may share a place."""
        square, fitted = letterboxed(image, SIDE)
        with torch.inference_mode():
            picture = torch.from_numpy(square).to(self._device.name).permute(2, 0, 1)[None]
            maps = self._network(picture.to(self._device.dtype))
        heat, reach = (each[0].permute(1, 2, 0).float().cpu().numpy() for each in maps)
        boxes, scores, labels = peaks(heat, reach, min_score)
        found = _per_class(fitted.back(boxes), scores, labels, fitted.size)
        return tuple(sorted(found, key=lambda one: -one.probability))


def peaks(
    heat: npt.NDArray[np.float32], reach: npt.NDArray[np.float32], least: float
) -> tuple[Boxes, npt.NDArray[np.float32], npt.NDArray[np.intp]]:
    """[h, w, C] centres and [h, w, 4] reaches -> boxes [N, 4], scores [N], classes [N].

    A centre is a cell that none of its eight neighbours exceeds in its class. Only cells of at
    least `least` are looked at, which takes a tenth of the time of pooling the whole map.
    """
    rows, cols, labels = np.nonzero(heat >= least)
    scores = heat[rows, cols, labels]
    around = np.pad(heat, ((1, 1), (1, 1), (0, 0)))
    peak = np.ones(len(scores), bool)
    for down in range(3):
        for right in range(3):
            peak &= around[rows + down, cols + right, labels] <= scores
    best = np.flatnonzero(peak)
    best = best[np.argsort(-scores[best], kind="stable")][:MAX_BOXES]
    rows, cols = rows[best], cols[best]
    centre = CELL * np.stack([cols, rows], axis=1).astype(np.float32)
    edges = reach[rows, cols]
    boxes = np.concatenate([centre - edges[:, :2], centre + edges[:, 2:]], axis=1)
    return np.asarray(boxes, np.float32), scores[best], labels[best]


def distinct(detections: Sequence[Detection]) -> tuple[Detection, ...]:
    """One name a place: those that lie where a surer one of another class does are left out."""
    if not detections:
        return ()
    boxes = np.array([one.box for one in detections], np.float32)
    scores = np.array([one.probability for one in detections], np.float32)
    return tuple(detections[index] for index in suppress(boxes, scores, SAME_PLACE_IOU))


def overlaps(box: Box, detections: Sequence[Detection]) -> npt.NDArray[np.float32]:
    """[N] intersection over union of a box with each detection's."""
    others = np.array([one.box for one in detections], np.float32).reshape(-1, 4)
    return np.asarray(box_ious(np.array([box], np.float32), others)[0])


def probability(score: float) -> float:
    """The network's score as the share of such boxes that are right."""
    return float(1 / (1 + np.exp(-SLOPE * (score - MIDDLE))))


def _per_class(
    boxes: Boxes,
    scores: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int_],
    size: tuple[int, int],
) -> list[Detection]:
    found: list[Detection] = []
    for label in np.unique(labels).tolist():
        own = np.flatnonzero(labels == label)
        for index in own[suppress(boxes[own], scores[own], SAME_CLASS_IOU)].tolist():
            box = whole_pixels(boxes[index], size)
            if box is not None:
                found.append(Detection(label, probability(float(scores[index])), box))
    return found
