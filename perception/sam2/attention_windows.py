"""Tokens of a square picture in the order of attention windows, so that windows are slices.

Windows that reach beyond the picture's edge hold its tokens only. In Hiera such a window is padded
with zeros before the projection, so that all its padding has one key and one value (the biases):
p padded tokens weigh like a single one whose score is raised by log(p).
"""

import math
from dataclasses import dataclass
from functools import cache

import torch

from perception.sam2.linear import attended, on_cpu


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows of one shape that lie one after another."""

    count: int
    rows: int
    cols: int
    side: int  # of the whole window; rows * cols of its side * side tokens are in the picture

    @property
    def tokens(self) -> int:
        """Of all these windows."""
        return self.count * self.rows * self.cols

    @property
    def padding(self) -> int:
        """Tokens that each window misses beyond the edge."""
        return self.side * self.side - self.rows * self.cols


@dataclass(frozen=True, slots=True)
class Layout:
    """The order of a square picture's tokens: window by window, row by row in each.

    Whole windows first, then those cut by the right edge, those cut by the lower edge (column by
    column, so that they have the same shape), then the one in the corner.
    """

    extent: int  # tokens down the picture
    side: int  # tokens down a window; the extent: the picture row by row

    @property
    def groups(self) -> tuple[Windows, ...]:
        """The windows, by shape."""
        whole, rest = divmod(self.extent, self.side)
        cut = 2 * whole if rest else 0
        groups = (
            Windows(whole * whole, self.side, self.side, self.side),
            Windows(cut, self.side, rest, self.side),
            Windows(1 if rest else 0, rest, rest, self.side),
        )
        return tuple(group for group in groups if group.count)

    def pooled(self, stride: int) -> "Layout":
        """The layout of maxima over squares inside the windows."""
        return Layout(self.extent // stride, self.side // stride)


@cache
def order(layout: Layout) -> torch.Tensor:
    """[extent^2] int64: which token of the picture, row by row, stands at each place."""
    side, whole = layout.side, layout.extent // layout.side
    rest = layout.extent - whole * side
    with torch.inference_mode(False):
        picture = torch.arange(layout.extent * layout.extent).view(layout.extent, layout.extent)
    inner = picture[: whole * side, : whole * side]
    parts = [inner.reshape(whole, side, whole, side).transpose(1, 2).flatten()]
    if rest:
        right = picture[: whole * side, whole * side :]
        lower = picture[whole * side :, : whole * side].T
        parts += [
            right.flatten(),
            lower.flatten(),
            picture[whole * side :, whole * side :].flatten(),
        ]
    return torch.cat(parts)


def between(old: Layout, new: Layout) -> torch.Tensor | None:
    """[extent^2] int64: the places in `old` of the tokens of `new`; None where nothing moves."""
    moved = torch.argsort(order(old))[order(new)]
    return None if torch.equal(moved, torch.arange(len(moved))) else moved


def attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    padding: int,
    pad: tuple[torch.Tensor, torch.Tensor],
    mixed: bool = False,
) -> torch.Tensor:
    """Attention in windows, scaled queries [N, heads, tokens, d], with `padding` equal tokens more.

    `pad`: their key and their value, [heads, 1, d] each. `mixed`: products of bfloat16 numbers.
    """
    if padding:
        shape = (len(key), -1, -1, -1)
        key = torch.cat([key, pad[0].expand(shape)], dim=2)
        value = torch.cat([value, pad[1].expand(shape)], dim=2)
    if mixed and on_cpu(query.device):
        scores = query.to(torch.bfloat16) @ key.to(torch.bfloat16).transpose(2, 3)
        if padding:
            scores[..., -1] += math.log(padding)
        return (torch.softmax(scores, -1) @ value.to(torch.bfloat16)).to(query.dtype)
    if not padding:
        return attended(query, key, value, 1.0, mixed)
    mask = query.new_zeros(1, 1, 1, key.shape[2])
    mask[..., -1] = math.log(padding)
    mask = mask.expand(1, 1, query.shape[2], -1)
    return attended(query, key, value, 1.0, mixed, mask)


def pool(tokens: torch.Tensor, groups: tuple[Windows, ...], stride: int) -> torch.Tensor:
    """[T, C] -> [T / stride^2, C] maxima over squares of each window, in the same order."""
    if stride == 1:
        return tokens
    parts, start = [], 0
    for group in groups:
        cells = tokens[start : start + group.tokens].view(
            group.count, group.rows // stride, stride, group.cols // stride, stride, -1
        )
        best = cells[:, :, 0, :, 0].contiguous()
        for place in range(1, stride * stride):  # a reduction over two axes is ten times slower
            torch.maximum(best, cells[:, :, place // stride, :, place % stride], out=best)
        parts.append(best.flatten(0, 2))
        start += group.tokens
    return parts[0] if len(parts) == 1 else torch.cat(parts)
