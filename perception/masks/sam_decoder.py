"""SAM's prompt encoder and mask decoder on the part of the square that a picture fills.

Kirillov et al., "Segment Anything", 2023. SAM always thinks in 64 x 64 cells, most of which are
padding where the picture was looked at small or is not square. The modules are transformers';
places keep the square's coordinates.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import SamMaskDecoderConfig, SamPromptEncoderConfig
from transformers.models.sam.modeling_sam import SamMaskDecoder, SamMaskEmbedding

from stream.frame import SoftMask

CANVAS = 1024  # pixels a side of the square that places are given in
CELL = 16  # pixels a side of a cell
CHANNELS = 256
OUTSIDE, INSIDE, CORNER, OPPOSITE, NOTHING = 0, 1, 2, 3, -1  # labels of SAM's points
SURE = 3  # points, from which the mask that is kept for prompts that are sure is taken

Prompts = list[tuple[float, float, int]]  # x, y in pixels, label


class SamDecoder(nn.Module):
    """Cells of a picture and a prompt -> a mask; stateless, so threads may share it."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder = SamMaskDecoder(SamMaskDecoderConfig(attn_implementation="sdpa"))
        self.mask_embed = SamMaskEmbedding(SamPromptEncoderConfig())
        self.gauss = nn.Parameter(torch.zeros(2, CHANNELS // 2))  # codes of places
        self.labels = nn.Parameter(torch.zeros(OPPOSITE - NOTHING + 1, CHANNELS))  # from NOTHING on
        self.no_mask = nn.Parameter(torch.zeros(CHANNELS))

    def forward(
        self, cells: Tensor, prompts: Prompts, before: SoftMask | None = None
    ) -> tuple[SoftMask, float]:
        """[256, h, w] cells -> [4h, 4w] logits and the decoder's own guess of their IoU.

        Prompts lie in the square's pixels. `before`: logits [4h, 4w] of a mask to start from.
        """
        masks, scores = self.candidates(cells, prompts, before)
        best = 0 if len(prompts) >= SURE else 1 + int(scores[1:].argmax())
        return masks[best], float(scores[best])

    def candidates(
        self, cells: Tensor, prompts: Prompts, before: SoftMask | None = None
    ) -> tuple[SoftMask, SoftMask]:
        """The same for all four: [4, 4h, 4w] logits and [4] guesses, the sure one first."""
        with torch.inference_mode():
            masks, scores = self._ask(cells, prompts, before)
        return (
            np.asarray(masks.float().cpu().numpy(), np.float32),
            np.asarray(scores.float().cpu().numpy(), np.float32),
        )

    def _ask(
        self, cells: Tensor, prompts: Prompts, before: SoftMask | None
    ) -> tuple[Tensor, Tensor]:
        """[4, 4h, 4w] logits and [4] guesses: the sure one first, then whole, part, and subpart."""
        decoder = self.decoder
        device = self.no_mask.device
        places = torch.tensor([[x + 0.5, y + 0.5] for x, y, _ in prompts], device=device) / CANVAS
        labels = torch.tensor([label for _, _, label in prompts], device=device)
        there = (labels != NOTHING)[:, None]
        tokens = self._code(places) * there + self.labels[labels - NOTHING]
        tokens = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight, tokens])
        picture = (cells + self._dense(before))[None]
        tokens, seen = decoder.transformer(
            tokens[None, None], picture, self._positions(*cells.shape[1:]), None
        )
        grown = seen.transpose(2, 3).reshape(picture.shape)
        grown = decoder.upscale_layer_norm(decoder.upscale_conv1(grown))
        grown = F.gelu(decoder.upscale_conv2(F.gelu(grown)))[0]
        own = [net(tokens[0, 0, 1 + n]) for n, net in enumerate(decoder.output_hypernetworks_mlps)]
        masks = torch.stack(own) @ grown.flatten(1)
        return masks.view(-1, *grown.shape[1:]), decoder.iou_prediction_head(tokens[0, 0, 0])

    def _dense(self, before: SoftMask | None) -> Tensor:
        """[256, h, w] of a mask [4h, 4w], or [256, 1, 1] for none."""
        if before is None:
            return self.no_mask[:, None, None]
        shown = torch.from_numpy(before).to(self.no_mask.device)
        embedded: Tensor = self.mask_embed(shown[None, None])
        return embedded[0]

    def _positions(self, rows: int, cols: int) -> Tensor:
        """[1, 256, h, w]: the code of each cell's middle."""
        device = self.gauss.device
        y, x = ((torch.arange(n, device=device) + 0.5) * CELL / CANVAS for n in (rows, cols))
        grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)
        return self._code(grid).permute(2, 0, 1)[None]

    def _code(self, places: Tensor) -> Tensor:
        """[..., 2] x, y in 0..1 -> [..., 256]."""
        turned = 2 * math.pi * ((2 * places - 1) @ self.gauss)
        return torch.cat([turned.sin(), turned.cos()], -1)
