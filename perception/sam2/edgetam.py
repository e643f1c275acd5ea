"""EdgeTAM's own parts: the RepViT image encoder and the perceiver that shortens memories.

Zhou et al., "EdgeTAM", arXiv 2501.07256, with the weights of transformers' `EdgeTamVideoModel`; the
same results up to rounding. Normalisations are folded into their convolutions and parallel branches
into one, the neck's fine levels into the mask decoder's projections, and the perceiver takes all
objects at once.
"""

import copy
import math
from typing import Any

import torch

from perception.sam2.linear import as_linear, folded, halved
from stream.errors import ConfigError


class EdgeEncoder:
    """[1, 3, S, S] pixels -> tokens, middle, fine of FrameFeatures."""

    def __init__(self, model: Any, mixed: bool = False) -> None:
        from timm.models import reparameterize_model

        encoder = model.vision_encoder
        # A copy, since the model is the caller's.
        backbone = reparameterize_model(copy.deepcopy(encoder.backbone.timm_model), inplace=True)
        kind = encoder.neck.convs[0].weight.dtype  # folding leaves float32 behind
        backbone = halved(backbone.to(dtype=kind, memory_format=torch.channels_last), mixed)
        self._backbone = backbone.requires_grad_(False)
        convs = encoder.neck.convs  # coarse to fine
        self._top, self._coarse = as_linear(convs[0], mixed), as_linear(convs[1], mixed)
        self._middle = folded(convs[2], model.mask_decoder.conv_s1, mixed)
        self._fine = folded(convs[3], model.mask_decoder.conv_s0, mixed)

    @staticmethod
    def fits(model: Any) -> bool:
        """Whether a model is built as this encoder expects (the released EdgeTAM is)."""
        encoder = model.vision_encoder
        backbone = getattr(encoder, "backbone", None)
        if not hasattr(backbone, "timm_model") or len(encoder.neck.convs) != 4:
            return False
        plain = all(conv.kernel_size == (1, 1) for conv in encoder.neck.convs)
        return plain and list(encoder.neck.fpn_top_down_levels) == [2, 3]

    def tensors(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """One pass; batch size 1."""
        given = pixels.contiguous(memory_format=torch.channels_last)
        maps = self._backbone(given.to(next(self._backbone.parameters()).dtype))
        fine, middle, coarse, top = (one.to(pixels.dtype).permute(0, 2, 3, 1) for one in maps)
        small = self._top(top)[0].repeat_interleave(2, 0).repeat_interleave(2, 1)
        tokens = (self._coarse(coarse)[0] + small).flatten(0, 1)
        return (
            tokens,
            self._middle(middle).permute(0, 3, 1, 2),
            self._fine(fine).permute(0, 3, 1, 2),
        )


class Perceiver:
    """[B, h*w, D] memory tokens and their codes -> [B, T, D], T the number of latents."""

    def __init__(self, module: Any, grid: tuple[int, int], code: torch.Tensor) -> None:
        """`code` [1, D, h, w]: the memory's position code."""
        self._module = module
        self._across = math.isqrt(module.num_latents_2d)
        self._rows, self._cols = grid
        if self._across and (self._rows % self._across or self._cols % self._across):
            step = 16 * self._across
            raise ConfigError(
                f"expected an image size that is a multiple of {step} for EdgeTAM, got "
                f"{16 * self._rows}"
            )
        self._code = code.flatten(2).transpose(1, 2).contiguous()

    def __call__(self, tokens: torch.Tensor) -> torch.Tensor:
        module, batch, width = self._module, tokens.shape[0], tokens.shape[2]
        found = []
        if module.num_latents_1d:
            latents = module.latents_1d.expand(batch, -1, -1)
            code = self._code.expand(batch, -1, -1)
            for layer in module.layers:
                latents = layer(latents, tokens, code)
            found.append(module.layer_norm(latents))
        if module.num_latents_2d:
            latents = module.latents_2d.repeat(batch, 1)[:, None]
            rows, cols = self._rows // self._across, self._cols // self._across
            cells = tokens.view(batch, self._across, rows, self._across, cols, width)
            cells = cells.transpose(2, 3).reshape(-1, rows * cols, width)
            for layer in module.layers:
                latents = layer(latents, cells, positional_encoding=None)
            found.append(module.layer_norm(latents.view(batch, -1, width)))
        return torch.cat(found, 1)
