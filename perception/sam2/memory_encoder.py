"""SAM 2's memory encoder for many objects at once: a frame and a mask become memory tokens.

The weights are those of transformers' `Sam2VideoMemoryEncoder` and `EdgeTamVideoMemoryEncoder`; the
result is the same up to rounding. The channels stay last from the masks on, 1x1 convolutions are
packed linear layers, and the layer scale is folded into one of them.
"""

from typing import Any

import torch
import torch.nn.functional as F

from perception.sam2.linear import FastLinear, as_linear, convolved, fast, halved
from stream.errors import ConfigError

FEW = 4  # channels up to which layer norm runs over whole maps
ACTIVATIONS = {"GELUActivation": "gelu", "GELU": "gelu", "ReLU": "relu"}


class MemoryEncoder:
    """[h*w, C] frame tokens and [B, 1, S, S] masks -> [B, h*w, D]."""

    def __init__(self, module: Any, grid: tuple[int, int], mixed: bool = False) -> None:
        self._grid = grid
        self._down = module.mask_downsampler.layers
        self._convs = [
            halved(layer.conv, mixed).to(memory_format=torch.channels_last) for layer in self._down
        ]
        self._mask = as_linear(module.mask_downsampler.final_conv, mixed)
        self._frame = as_linear(module.feature_projection, mixed)
        self._blocks = [_Block(layer, grid, mixed) for layer in module.memory_fuser.layers]
        self._out = as_linear(module.projection, mixed)

    def __call__(self, tokens: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        """`masks`: scaled as the model's configuration says."""
        for conv, layer in zip(self._convs, self._down, strict=True):
            masks = layer.activation(_normed(convolved(conv, masks), layer.layer_norm))
        cells = masks.permute(0, 2, 3, 1).flatten(1, 2)
        hidden = self._mask(cells).add_(self._frame(tokens))
        for block in self._blocks:
            hidden = block(hidden)
        return self._out(hidden)


class _Block:
    """One ConvNeXt block on [B, h*w, C]."""

    def __init__(self, module: Any, grid: tuple[int, int], mixed: bool) -> None:
        self._grid = grid
        conv = halved(module.depthwise_conv, mixed)
        self._conv = conv.to(memory_format=torch.channels_last)
        self._norm = module.layer_norm
        activation = ACTIVATIONS.get(type(module.activation).__name__)
        if activation is None:
            raise ConfigError(
                f"expected a memory fuser with GELU or ReLU, got {type(module.activation).__name__}"
            )
        self._grow = fast(module.pointwise_conv1, activation, mixed)  # type: ignore[arg-type]
        last, scale = module.pointwise_conv2, module.scale
        self._shrink = FastLinear(scale[:, None] * last.weight, scale * last.bias, mixed=mixed)

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        maps = hidden.view(len(hidden), *self._grid, -1).permute(0, 3, 1, 2)  # channels last
        around = convolved(self._conv, maps).permute(0, 2, 3, 1).flatten(1, 2)
        norm = self._norm
        around = F.layer_norm(around, around.shape[-1:], norm.weight, norm.bias, norm.eps)
        return self._shrink(self._grow(around)).add_(hidden)


def _normed(maps: torch.Tensor, norm: Any) -> torch.Tensor:
    """Layer norm over the channels of [B, C, h, w]."""
    if maps.shape[1] > FEW:
        rows = F.layer_norm(
            maps.permute(0, 2, 3, 1), maps.shape[1:2], norm.weight, norm.bias, norm.eps
        )
        return rows.permute(0, 3, 1, 2)
    # torch's own takes row by row, which is slow for rows of four.
    spread, mean = torch.var_mean(maps, dim=1, keepdim=True, correction=0)
    gain = norm.weight[:, None, None]
    even = (maps - mean) * torch.rsqrt(spread + norm.eps)
    out: torch.Tensor = even * gain + norm.bias[:, None, None]
    return out
