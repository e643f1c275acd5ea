"""SAM 2's Hiera image encoder with the work a tracker does not need left out.

Ryali et al., "Hiera", 2023, with the weights of transformers' `Sam2VisionModel`; the same features
up to rounding. Left out: query, key and value of window padding (a constant), the output of window
padding, the position codes of every level (constant), a product that transformers computes and
drops, and the neck at the two fine levels, which is folded into the mask decoder's projections.
"""

from typing import Any

import torch
import torch.nn.functional as F

from perception.sam2_linear import FastLinear, fast
from perception.sam2_state import FrameFeatures


class HieraEncoder:
    """[1, 3, S, S] pixels -> FrameFeatures, for a `Sam2VideoModel`."""

    def __init__(self, model: Any, grid: int) -> None:
        encoder = model.vision_encoder
        backbone, neck = encoder.backbone, encoder.neck
        self._patches = backbone.patch_embed
        self._places = backbone._get_pos_embed((4 * grid, 4 * grid))[0].contiguous()
        self._blocks = [_Block(block) for block in backbone.blocks]
        self._ends = [int(end) for end in backbone.stage_ends]
        convs = neck.convs  # coarse to fine
        self._top, self._coarse = _as_linear(convs[0]), _as_linear(convs[1])
        self._middle = _folded(convs[2], model.mask_decoder.conv_s1)
        self._fine = _folded(convs[3], model.mask_decoder.conv_s0)

    @staticmethod
    def fits(model: Any) -> bool:
        """Whether a model is built as this encoder expects (every released SAM 2 is)."""
        encoder = model.vision_encoder
        backbone: Any = getattr(encoder, "backbone", None)
        if type(backbone).__name__ != "Sam2HieraDetModel" or len(encoder.neck.convs) != 4:
            return False
        plain = all(conv.kernel_size == (1, 1) for conv in encoder.neck.convs)
        gelu = all(_is_gelu(block.mlp) for block in backbone.blocks)
        return plain and gelu and list(encoder.neck.fpn_top_down_levels) == [2, 3]

    def __call__(self, pixels: torch.Tensor) -> FrameFeatures:
        """One pass; batch size 1."""
        hidden = self._patches(pixels)[0] + self._places
        stages = []
        for index, block in enumerate(self._blocks):
            hidden = block(hidden)
            if index in self._ends:
                stages.append(hidden)
        fine, middle, coarse, top = stages
        small = self._top(top).repeat_interleave(2, 0).repeat_interleave(2, 1)
        tokens = (self._coarse(coarse) + small).flatten(0, 1)
        return FrameFeatures(tokens, _as_map(self._middle(middle)), _as_map(self._fine(fine)))


class _Block:
    """One block of Hiera on [h, w, C]: attention in windows or overall, then a perceptron."""

    def __init__(self, block: Any) -> None:
        attention = block.attn
        self._norm1, self._norm2 = block.layer_norm1, block.layer_norm2
        self._window: int = block.window_size
        self._stride: int = block.query_stride[0] if block.query_stride else 1
        self._heads: int = attention.num_attention_heads
        self._scale: float = attention.scale
        self._width: int = attention.dim_out
        self._qkv, self._bias = fast(attention.qkv), attention.qkv.bias.detach()
        self._out = fast(attention.proj)
        self._skip = fast(block.proj) if block.dim != block.dim_out else None
        self._grow, self._shrink = fast(block.mlp.proj_in, "gelu"), fast(block.mlp.proj_out)

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        normed = self._norm1(hidden)
        if self._skip is not None:
            hidden = self._pooled(self._skip(normed)[None])[0]
        hidden = hidden + self._attend(normed, (hidden.shape[0], hidden.shape[1]))
        return hidden + self._shrink(self._grow(self._norm2(hidden)))

    def _attend(self, normed: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """[h, w, C] -> [*size, C']; `size` is smaller where queries are pooled."""
        qkv = self._qkv(normed)
        height, width, channels = qkv.shape
        side = (self._window, self._window) if self._window else (height, width)
        down, right = -height % side[0], -width % side[1]
        if down or right:  # padding is zeros before the projection, so its bias after it
            padded = self._bias.expand(height + down, width + right, channels).clone()
            padded[:height, :width] = qkv
            qkv = padded
        rows, cols = (height + down) // side[0], (width + right) // side[1]
        split = qkv.view(rows, side[0], cols, side[1], 3, self._heads, -1)
        query, key, value = split.permute(4, 0, 2, 5, 1, 3, 6).reshape(
            3, rows * cols, self._heads, side[0] * side[1], -1
        )
        if self._stride > 1:
            maps = query.reshape(-1, *side, query.shape[-1])
            query = self._pooled(maps).reshape(rows * cols, self._heads, -1, query.shape[-1])
            side = (side[0] // self._stride, side[1] // self._stride)
        read = F.scaled_dot_product_attention(query, key, value, scale=self._scale)
        read = read.view(rows, cols, self._heads, *side, -1).permute(0, 3, 1, 4, 2, 5)
        whole = read.reshape(rows * side[0], cols * side[1], self._width)
        return self._out(whole[: size[0], : size[1]])

    def _pooled(self, maps: torch.Tensor) -> torch.Tensor:
        """[N, h, w, C] -> its maxima over `stride` squares."""
        if self._stride == 1:
            return maps
        small = F.max_pool2d(maps.permute(0, 3, 1, 2), self._stride, self._stride)
        return small.permute(0, 2, 3, 1)


def _is_gelu(perceptron: Any) -> bool:
    return perceptron.num_layers == 2 and "gelu" in type(perceptron.activation).__name__.lower()


def _as_linear(conv: Any) -> FastLinear:
    """A 1x1 convolution as a linear layer over channels."""
    return FastLinear(conv.weight[:, :, 0, 0], conv.bias)


def _folded(first: Any, second: Any) -> FastLinear:
    """Two 1x1 convolutions in a row as one linear layer."""
    before, after = first.weight[:, :, 0, 0], second.weight[:, :, 0, 0]
    return FastLinear(after @ before, after @ first.bias + second.bias)


def _as_map(tokens: torch.Tensor) -> torch.Tensor:
    """[h, w, C] -> [1, C, h, w]."""
    return tokens.permute(2, 0, 1)[None].contiguous()
