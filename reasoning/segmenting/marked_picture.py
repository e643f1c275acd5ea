"""A region told to a model that takes no visual prompt: a box drawn into its picture.

Sa2VA's Qwen variants were trained without prompts of regions, and their published code takes none.
The grounding side sees the picture without the box.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from reasoning.vlm.hf import VisionLanguage
from reasoning.vlm.local.network import Reading
from stream.frame import Image, Mask
from stream.geometry import mask_box

RED = (255, 0, 0)
MEANT = " (I mean the thing in the red box.)"
STROKE = 160  # a box is as many times thinner than the picture's longer side


class MarkedPictures:
    """A SegLanguage over any VisionLanguage."""

    def __init__(self, language: VisionLanguage) -> None:
        self._language = language
        self.tokenizer: Any = language.tokenizer
        self.device: torch.device = language.device

    def begin(
        self, image: Image, messages: Sequence[Mapping[str, str]], pointed: Mask | None = None
    ) -> Reading:
        """See SegLanguage."""
        if pointed is None or not pointed.any():
            return self._language.begin(image, messages)
        last = messages[-1]
        told = {**last, "content": last["content"] + MEANT}
        return self._language.begin(boxed(image, pointed), [*messages[:-1], told])

    def feed(self, reading: Reading, ids: Sequence[int]) -> Tensor:
        """See VisionLanguage."""
        return self._language.feed(reading, ids)


def boxed(image: Image, mask: Mask) -> Image:
    """A copy of a [H, W, 3] picture with the box of a [H, W] mask, which is not empty."""
    box = mask_box(mask)
    drawn: Image = np.ascontiguousarray(image).copy()
    if box is not None:
        x0, y0, x1, y1 = box
        stroke = max(1, max(image.shape[:2]) // STROKE)
        cv2.rectangle(drawn, (x0, y0), (x1 - 1, y1 - 1), RED, stroke)
    return drawn
