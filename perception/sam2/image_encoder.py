"""SAM 2's Hiera image encoder with the work a tracker does not need left out.

Ryali et al., "Hiera", 2023, with the weights of transformers' `Sam2VisionModel`; the same features
up to rounding. Left out: window padding (attention_windows.py), the position codes of every
level (constant), a product that transformers computes and drops, and the neck at the two fine
levels, which is folded into the mask decoder's projections.
"""

from dataclasses import replace
from typing import Any

import torch

from perception.sam2.attention_windows import Layout, Windows, attend, between, order, pool
from perception.sam2.linear import FastLinear, as_linear, convolved, fast, folded, halved, on_cpu
from perception.sam2.memory_attention import attend_rows
from perception.sam2.transformers_compat import position_embedding

SLICE = 4096  # tokens of many windows that a CPU takes through a block at a time


class HieraEncoder:
    """[1, 3, S, S] pixels -> tokens, middle, fine of FrameFeatures, for a `Sam2VideoModel`.

    Tokens [T, C] stay in the order of their windows from block to block: the windows shrink with
    their pooling, so they are moved twice in a pass.
    """

    def __init__(self, model: Any, grid: int, mixed: bool = False) -> None:
        encoder, device = model.vision_encoder, model.no_memory_embedding.device
        backbone, neck = encoder.backbone, encoder.neck
        layout = Layout(4 * grid, backbone.blocks[0].window_size or 4 * grid)
        self._first = order(layout).to(device)
        patches = halved(backbone.patch_embed.projection, mixed)
        self._patches = patches.to(memory_format=torch.channels_last)
        places = position_embedding(backbone, 4 * grid, 4 * grid).flatten(0, 1)
        self._places = places[self._first]
        self._blocks: list[_Block] = []
        ends = []
        for block in backbone.blocks:
            one = _Block(block, layout, mixed)
            self._blocks.append(one)
            layout = one.after
            ends.append(layout)
        self._ends = [int(end) for end in backbone.stage_ends]
        fine, middle, coarse, top = (ends[end] for end in self._ends)
        convs = neck.convs  # coarse to fine
        self._top, self._coarse = as_linear(convs[0], mixed), as_linear(convs[1], mixed)
        self._middle = folded(convs[2], model.mask_decoder.conv_s1, mixed)
        self._fine = folded(convs[3], model.mask_decoder.conv_s0, mixed)
        row_by_row = [torch.argsort(order(one)) for one in (fine, middle, coarse, top)]
        *levels, small = (one.to(device) for one in row_by_row)
        self._back = levels
        small = small.view(top.extent, top.extent)  # each of its tokens stands for four
        self._enlarged = small.repeat_interleave(2, 0).repeat_interleave(2, 1).flatten()

    @staticmethod
    def fits(model: Any) -> bool:
        """Whether a model is built as this encoder expects (every released SAM 2 is)."""
        encoder = model.vision_encoder
        backbone: Any = getattr(encoder, "backbone", None)
        if type(backbone).__name__ != "Sam2HieraDetModel" or len(encoder.neck.convs) != 4:
            return False
        plain = all(conv.kernel_size == (1, 1) for conv in encoder.neck.convs)
        gelu = all(_is_gelu(block.mlp) for block in backbone.blocks)
        even = all(
            block.window_size % 2 == 0 and tuple(block.query_stride) == (2, 2)
            for block in backbone.blocks
            if block.query_stride
        )
        return plain and gelu and even and list(encoder.neck.fpn_top_down_levels) == [2, 3]

    def tensors(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """One pass; batch size 1."""
        maps = convolved(self._patches, pixels.contiguous(memory_format=torch.channels_last))[0]
        hidden = maps.permute(1, 2, 0).flatten(0, 1)[self._first].add_(self._places)
        stages = []
        for index, block in enumerate(self._blocks):
            hidden = block(hidden)
            if index in self._ends:
                stages.append(hidden)
        fine, middle, coarse, top = stages
        at_fine, at_middle, at_coarse = self._back
        tokens = self._coarse(coarse)[at_coarse] + self._top(top)[self._enlarged]
        return tokens, _as_map(self._middle(middle)[at_middle]), _as_map(self._fine(fine)[at_fine])


class _Block:
    """One block of Hiera: attention in windows or overall, then a perceptron."""

    def __init__(self, block: Any, layout: Layout, mixed: bool = False) -> None:
        attention = block.attn
        self._stride: int = block.query_stride[0] if block.query_stride else 1
        self._whole = not block.window_size  # every token attends to all, in whatever order
        own = layout if self._whole else Layout(layout.extent, block.window_size)
        self._groups, self.after = own.groups, own.pooled(self._stride)
        moved = between(layout, own)
        device = attention.qkv.weight.device
        self._moved = None if moved is None else moved.to(device)
        self._norm1, self._norm2 = block.layer_norm1, block.layer_norm2
        self._heads: int = attention.num_attention_heads
        self._mixed = mixed
        qkv = attention.qkv
        scale = torch.ones_like(qkv.bias)
        scale[: len(scale) // 3] = attention.scale  # queries; a positive factor keeps maxima
        self._qkv = FastLinear(qkv.weight * scale[:, None], qkv.bias * scale, mixed=mixed)
        _, key, value = qkv.bias.detach().view(3, self._heads, 1, -1)
        self._pad = (key, value)
        self._out = fast(attention.proj, mixed=mixed)
        self._skip = fast(block.proj, mixed=mixed) if block.dim != block.dim_out else None
        self._grow = fast(block.mlp.proj_in, "gelu", mixed)
        self._shrink = fast(block.mlp.proj_out, mixed=mixed)

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        """[T, C] -> [T / stride^2, C'], in the order of `after`."""
        if self._moved is not None:
            hidden = hidden[self._moved]
        group = self._groups[0]
        step = max(1, SLICE // (group.rows * group.cols))
        many = len(self._groups) == 1 and group.count > step and not self._whole
        if not many or hidden.device.type != "cpu":
            return self._through(hidden, self._groups)
        # Windows know nothing of each other; a few at a time stay in the cache.
        parts, size = [], group.rows * group.cols
        for start in range(0, group.count, step):
            few = replace(group, count=min(step, group.count - start))
            rows = hidden[start * size : (start + few.count) * size]
            parts.append(self._through(rows, (few,)))
        return torch.cat(parts)

    def _through(self, hidden: torch.Tensor, groups: tuple[Windows, ...]) -> torch.Tensor:
        normed = self._norm1(hidden)
        read = self._attended(normed, groups)
        if self._skip is not None:
            hidden = pool(self._skip(normed), groups, self._stride)
        hidden = read.add_(hidden)
        return self._shrink(self._grow(self._norm2(hidden))).add_(hidden)

    def _attended(self, normed: torch.Tensor, groups: tuple[Windows, ...]) -> torch.Tensor:
        """[T, C] -> [T / stride^2, C'], each window by itself."""
        qkv = self._qkv(normed)
        if self._whole:
            groups = (Windows(1, 1, len(qkv), 0),)
        parts, start = [], 0
        for group in groups:
            rows = qkv[start : start + group.tokens]
            split = rows.view(group.count, -1, 3, self._heads, rows.shape[1] // 3 // self._heads)
            query, key, value = split.permute(2, 0, 3, 1, 4)
            if self._stride > 1:
                asked = pool(rows[:, : rows.shape[1] // 3], (group,), self._stride)
                query = asked.view(group.count, -1, self._heads, key.shape[-1]).transpose(1, 2)
            if self._whole and self._mixed and on_cpu(query.device):
                read = attend_rows(query, key, value, mixed=True)
            else:
                padding = 0 if self._whole else group.padding
                read = attend(query, key, value, padding, self._pad, self._mixed)
            parts.append(read.transpose(1, 2).flatten(2).flatten(0, 1))
            start += group.tokens
        return self._out(parts[0] if len(parts) == 1 else torch.cat(parts))


def _is_gelu(perceptron: Any) -> bool:
    return perceptron.num_layers == 2 and "gelu" in type(perceptron.activation).__name__.lower()


def _as_map(tokens: torch.Tensor) -> torch.Tensor:
    """[h * h, C] row by row -> [1, C, h, h], a view with its channels last."""
    side = int(len(tokens) ** 0.5)
    return tokens.view(1, side, side, -1).permute(0, 3, 1, 2)
