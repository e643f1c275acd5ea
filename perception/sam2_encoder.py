"""SAM 2's Hiera image encoder with the work a tracker does not need left out.

Ryali et al., "Hiera", 2023, with the weights of transformers' `Sam2VisionModel`; the same features
up to rounding. Left out: query, key and value of window padding (a constant), the output of window
padding, the position codes of every level (constant), a product that transformers computes and
drops, and the neck at the two fine levels, which is folded into the mask decoder's projections.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from perception.sam2_linear import FastLinear, fast
from perception.sam2_state import FrameFeatures


class HieraEncoder:
    """[1, 3, S, S] pixels -> FrameFeatures, for a `Sam2VideoModel`."""

    def __init__(self, model: Any, grid: int, mixed: bool = False) -> None:
        encoder = model.vision_encoder
        backbone, neck = encoder.backbone, encoder.neck
        self._patches = backbone.patch_embed
        self._places = backbone._get_pos_embed((4 * grid, 4 * grid))[0].contiguous()
        self._blocks = [_Block(block, mixed) for block in backbone.blocks]
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
        return FrameFeatures(*self.tensors(pixels))

    def tensors(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The same as plain tensors: tokens, middle, fine."""
        maps = self._patches(pixels)[0] + self._places
        hidden, layout = maps.flatten(0, 1)[None], Layout(1, maps.shape[0])
        stages = []
        for index, block in enumerate(self._blocks):
            hidden, layout = block(hidden, layout)
            if index in self._ends:
                stages.append((hidden, layout))
        fine, middle, coarse, top = stages
        side = top[1].extent
        small = regroup(self._top(top[0]), top[1], 0)[0].view(side, side, -1)
        small = small.repeat_interleave(2, 0).repeat_interleave(2, 1).flatten(0, 1)
        tokens = regroup(self._coarse(coarse[0]), coarse[1], 0)[0][0] + small
        middle_map = _as_map(self._middle(middle[0]), middle[1])
        return tokens, middle_map, _as_map(self._fine(fine[0]), fine[1])


@dataclass(frozen=True, slots=True)
class Layout:
    """How a square picture's tokens [rows * rows, side * side, C] lie: window by window."""

    rows: int  # windows down, and as many across; 1: the whole picture, row by row
    side: int  # tokens down a window

    @property
    def extent(self) -> int:
        """Tokens down the picture."""
        return self.rows * self.side


def regroup(hidden: torch.Tensor, layout: Layout, window: int) -> tuple[torch.Tensor, Layout]:
    """Tokens in windows of another side; 0, or one that does not divide the picture: in one."""
    extent, width = layout.extent, hidden.shape[-1]
    side = window if window and extent % window == 0 else extent
    new = Layout(extent // side, side)
    if new == layout:
        return hidden, layout
    if layout.rows > 1:
        split = hidden.view(layout.rows, layout.rows, layout.side, layout.side, width)
        hidden = split.transpose(1, 2).reshape(1, extent * extent, width)
    if new.rows > 1:
        split = hidden.view(new.rows, side, new.rows, side, width)
        hidden = split.transpose(1, 2).reshape(new.rows * new.rows, side * side, width)
    return hidden, new


class _Block:
    """One block of Hiera: attention in windows or overall, then a perceptron.

    Tokens stay in the order of the windows from block to block, so that most blocks copy nothing:
    the first stages' windows shrink with their pooling.
    """

    def __init__(self, block: Any, mixed: bool = False) -> None:
        attention = block.attn
        self._norm1, self._norm2 = block.layer_norm1, block.layer_norm2
        self._window: int = block.window_size
        self._stride: int = block.query_stride[0] if block.query_stride else 1
        self._heads: int = attention.num_attention_heads
        self._scale: float = attention.scale
        self._width: int = attention.dim_out
        self._qkv, self._bias = fast(attention.qkv, mixed=mixed), attention.qkv.bias.detach()
        self._out = fast(attention.proj, mixed=mixed)
        self._skip = fast(block.proj, mixed=mixed) if block.dim != block.dim_out else None
        self._grow = fast(block.mlp.proj_in, "gelu", mixed)
        self._shrink = fast(block.mlp.proj_out, mixed=mixed)

    def __call__(self, hidden: torch.Tensor, layout: Layout) -> tuple[torch.Tensor, Layout]:
        hidden, layout = regroup(hidden, layout, self._window)
        normed = self._norm1(hidden)
        if self._skip is not None:
            hidden = self._pooled(self._skip(normed), layout.side)
        if self._window and layout.side != self._window:
            read = self._attend_padded(normed, layout.extent)
        else:
            read = self._attend(normed, layout.side)
        hidden = read.add_(hidden)
        hidden = self._shrink(self._grow(self._norm2(hidden))).add_(hidden)
        return hidden, Layout(layout.rows, layout.side // self._stride)

    def _attend(self, normed: torch.Tensor, side: int) -> torch.Tensor:
        """[N, side * side, C] -> [N, (side / stride)^2, C'], each window by itself."""
        qkv = self._qkv(normed)
        count, length, channels = qkv.shape
        query, key, value = qkv.view(count, length, 3, self._heads, -1).permute(2, 0, 3, 1, 4)
        if self._stride > 1:
            asked = self._pooled(qkv[..., : channels // 3], side)
            query = asked.view(count, asked.shape[1], self._heads, -1).transpose(1, 2)
        read = F.scaled_dot_product_attention(query, key, value, scale=self._scale)
        return self._out(read.transpose(1, 2).flatten(2))

    def _attend_padded(self, normed: torch.Tensor, extent: int) -> torch.Tensor:
        """The same on the whole picture, where windows reach beyond its edge."""
        qkv = self._qkv(normed).view(extent, extent, -1)
        channels, window = qkv.shape[-1], self._window
        more = -extent % window  # padding is zeros before the projection, so its bias after it
        padded = self._bias.expand(extent + more, extent + more, channels).clone()
        padded[:extent, :extent] = qkv
        count = (extent + more) // window
        split = padded.view(count, window, count, window, 3, self._heads, -1)
        query, key, value = split.permute(4, 0, 2, 5, 1, 3, 6).reshape(
            3, count * count, self._heads, window * window, -1
        )
        side = window // self._stride
        if self._stride > 1:
            maps = query.reshape(-1, window * window, query.shape[-1])
            query = self._pooled(maps, window).view(count * count, self._heads, side * side, -1)
        read = F.scaled_dot_product_attention(query, key, value, scale=self._scale)
        read = read.view(count, count, self._heads, side, side, -1).permute(0, 3, 1, 4, 2, 5)
        whole = read.reshape(count * side, count * side, self._width)
        kept = extent // self._stride
        return self._out(whole[:kept, :kept].reshape(1, kept * kept, -1))

    def _pooled(self, windows: torch.Tensor, side: int) -> torch.Tensor:
        """[N, side * side, C] -> its maxima over `stride` squares, in the same order."""
        stride = self._stride
        if stride == 1:
            return windows
        small, width = side // stride, windows.shape[-1]
        cells = windows.view(len(windows), small, stride, small, stride, width)
        best = cells[:, :, 0, :, 0].contiguous()
        for place in range(1, stride * stride):  # a reduction over two axes is ten times slower
            torch.maximum(best, cells[:, :, place // stride, :, place % stride], out=best)
        return best.flatten(1, 2)


def _is_gelu(perceptron: Any) -> bool:
    return perceptron.num_layers == 2 and "gelu" in type(perceptron.activation).__name__.lower()


def _as_linear(conv: Any) -> FastLinear:
    """A 1x1 convolution as a linear layer over channels."""
    return FastLinear(conv.weight[:, :, 0, 0], conv.bias)


def _folded(first: Any, second: Any) -> FastLinear:
    """Two 1x1 convolutions in a row as one linear layer."""
    before, after = first.weight[:, :, 0, 0], second.weight[:, :, 0, 0]
    return FastLinear(after @ before, after @ first.bias + second.bias)


def _as_map(tokens: torch.Tensor, layout: Layout) -> torch.Tensor:
    """Tokens in any layout -> [1, C, h, w]."""
    rows, side = layout.rows, layout.side
    split = tokens.view(rows, rows, side, side, -1).permute(4, 0, 2, 1, 3)
    return split.reshape(1, -1, layout.extent, layout.extent)
