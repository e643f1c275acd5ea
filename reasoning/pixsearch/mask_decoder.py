"""A small SAM-style mask decoder on the shared backbone's features: a query vector in, a mask out.

Like SAM's (Kirillov et al., 2023): a query token and the picture's cells attend to each other, and
the query then points out its pixels in an upsampled pixel embedding. Unlike SAM's it lives on the
backbone's two maps (`Features.dense` at stride 8, `Features.top` at stride 32), so that a frame
costs no second encoder, and the query is also compared with the classifier's own cells, so that
words meet what the classifier knows. The losses are PixSearch's (arXiv 2601.19060, eq. 6-7).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perception.features.backbone import Features
from stream.frame import Image

PROMPTS = 2  # dense prompt maps: what is pointed at, and what earlier spans already cover
FAR = 12.0  # the least logit of a cell: log-odds beyond it carry no gradient worth having


@dataclass(frozen=True, slots=True)
class MaskDecoderConfig:
    """Sizes; the defaults are the embedded profile's (0.4 M parameters)."""

    dense: int = 168  # channels of the stride-8 map
    top: int = 1280  # channels of the stride-32 map
    query: int = 128
    width: int = 96
    pixel: int = 24  # channels of the pixel embedding at stride 4
    heads: int = 4


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """What the decoder keeps of B frames; made once per frame, however many masks are asked."""

    cells: Tensor  # [B, width, h8, w8]
    pixels: Tensor  # [B, pixel, h4, w4]
    words: Tensor  # [B, query, h32, w32], unit length over channels


class MaskDecoder(nn.Module):
    """Query vectors [N, query] of frames -> mask logits [N, h4, w4] and presence logits [N]."""

    def __init__(self, config: MaskDecoderConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or MaskDecoderConfig()
        width, query = config.width, config.query
        self.dense = nn.Conv2d(config.dense, width, 1)
        self.top = nn.Conv2d(config.top, width, 1)
        self.words = nn.Linear(config.top, query, bias=False)
        self.place = nn.Conv2d(2, width, 1)
        self.mixers = nn.ModuleList(Mixer(width) for _ in range(2))
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.fine = nn.Conv2d(width, 24, 1)
        self.pixel = nn.Conv2d(40, config.pixel, 3, padding=1)
        self.attend = nn.MultiheadAttention(width, config.heads, batch_first=True)
        self.enter = nn.Linear(query, width)
        self.think = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU())
        self.film = nn.Linear(2 * width, 2 * width)
        self.cues = nn.Conv2d(1 + PROMPTS, width, 3, padding=1)
        self.after = Mixer(width)
        self.point_out = nn.Conv2d(width, config.pixel + 1, 1)
        self.present = nn.Linear(2 * width + 1, 1)
        self.scale = nn.Parameter(torch.tensor(10.0))

    def read(self, dense: Tensor, top: Tensor, image: Tensor) -> Cells:
        """dense [B, 168, h8, w8], top [B, 1280, h32, w32], image [B, 3, h4, w4] in -1..1."""
        size = dense.shape[-2:]
        cells = self.dense(dense * 4) + self.place(_places(size, dense))
        cells = cells + F.interpolate(self.top(top), size, mode="bilinear", align_corners=False)
        for mixer in self.mixers:
            cells = mixer(cells)
        fine = F.interpolate(
            self.fine(cells), image.shape[-2:], mode="bilinear", align_corners=False
        )
        pixels = self.pixel(F.gelu(torch.cat([fine, self.stem(image)], 1)))
        return Cells(cells, pixels, self.of_top(top.movedim(1, -1)).movedim(-1, 1))

    def of_top(self, top: Tensor) -> Tensor:
        """[..., 1280] classifier features or class weights -> [..., query] of unit length."""
        return F.normalize(self.words(top), dim=-1)

    def forward(
        self, frames: Cells, owner: Tensor, query: Tensor, prompts: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Masks of N queries; `owner` [N] int64 is each one's frame.

        `query` [N, query]; `prompts` [N, 2, h8, w8] or None: +1 where something is pointed at, -1
        elsewhere, 0 for no prompt; and 0..1 where masks of earlier spans lie (mask feedback).
        """
        cells = frames.cells[owner]
        size = cells.shape[-2:]
        near = torch.einsum("nchw,nc->nhw", frames.words[owner], F.normalize(query, dim=-1))
        alike = near[:, None] * self.scale
        alike = F.interpolate(alike, size, mode="bilinear", align_corners=False)
        if prompts is None:
            prompts = cells.new_zeros(len(query), PROMPTS, *size)
        hints = self.cues(torch.cat([alike, prompts], 1))
        shown = cells + hints
        memory = F.avg_pool2d(shown, 2, ceil_mode=True).flatten(2).transpose(1, 2)
        token = self.enter(query)[:, None]
        token = token + self.attend(token, memory, memory, need_weights=False)[0]
        thought = self.think(token[:, 0])
        gain, shift = self.film(thought).chunk(2, -1)
        shown = self.after(shown * (1 + gain[..., None, None]) + shift[..., None, None])
        guide = F.interpolate(
            self.point_out(shown), frames.pixels.shape[-2:], mode="bilinear", align_corners=False
        )
        logits = (guide[:, 1:] * frames.pixels[owner]).sum(1) + guide[:, 0]
        best = near.flatten(1).amax(1, keepdim=True) * self.scale
        return logits.clamp(-FAR, FAR), self.present(torch.cat([thought, best], -1))[:, 0]


class Mixer(nn.Module):
    """A residual block: a 5x5 depthwise look around, then two pointwise layers (ConvNeXt)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.look = nn.Conv2d(width, width, 5, padding=2, groups=width)
        self.norm = nn.GroupNorm(1, width)
        self.grow = nn.Conv2d(width, 2 * width, 1)
        self.shrink = nn.Conv2d(2 * width, width, 1)

    def forward(self, cells: Tensor) -> Tensor:
        """[N, width, h, w] -> the same."""
        change: Tensor = self.shrink(F.gelu(self.grow(self.norm(self.look(cells)))))
        return cells + change


def picture_input(image: Image, size: tuple[int, int]) -> Tensor:
    """[H, W, 3] uint8 -> [3, h4, w4] float32 in -1..1; `size` is the (h8, w8) of the features."""
    small = cv2.resize(image, (2 * size[1], 2 * size[0]), interpolation=cv2.INTER_AREA)
    return torch.from_numpy(np.asarray(small)).permute(2, 0, 1).float() / 127.5 - 1


def read_frame(decoder: MaskDecoder, features: Features, image: Image) -> Cells:
    """One frame's cells."""
    dense = features.dense
    size = (int(dense.shape[-2]), int(dense.shape[-1]))
    inputs = (dense, features.top, picture_input(image, size).to(dense))
    result: Cells = decoder.read(*(each[None] for each in inputs))
    return result


def focal_tversky(
    logits: Tensor, truth: Tensor, missed: float = 0.7, extra: float = 0.3, gamma: float = 0.75
) -> Tensor:
    """Focal-Tversky loss of masks [N, h, w] (eq. 7; weights of PLUM's code): mean over N.

    1 - TP / (TP + 0.7 FN + 0.3 FP), to the power of gamma; 0 where prediction and truth are empty.
    """
    soft = torch.sigmoid(logits).flatten(1)
    real = truth.flatten(1)
    hit = (soft * real).sum(1)
    lost, false = ((1 - soft) * real).sum(1), (soft * (1 - real)).sum(1)
    index = (hit + 1) / (hit + missed * lost + extra * false + 1)
    return ((1 - index).clamp(min=1e-6) ** gamma).mean() if len(logits) else logits.sum()


def mask_bce(logits: Tensor, truth: Tensor) -> Tensor:
    """Binary cross-entropy of masks [N, h, w]."""
    return F.binary_cross_entropy_with_logits(logits, truth) if len(logits) else logits.sum()


def _places(size: Sequence[int], like: Tensor) -> Tensor:
    """[1, 2, h, w]: rows and columns in -1..1."""
    rows = torch.linspace(-1, 1, size[0]).to(like)
    cols = torch.linspace(-1, 1, size[1]).to(like)
    return torch.stack(torch.meshgrid(rows, cols, indexing="ij"))[None]
