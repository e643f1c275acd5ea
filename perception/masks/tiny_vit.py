"""TinyViT as MobileSAM has it: a picture in, SAM's image embedding out, at any size.

Wu et al., "TinyViT", 2022; Zhang et al., "Faster Segment Anything", 2023: the last merging does not
halve, and SAM's neck follows, so that a cell stands for 16 pixels. Modules have the names of
MobileSAM's own, with batch norms folded; where that takes nothing but 1,024 x 1,024 pixels, this
takes what is there and leaves the padding out.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import SamVisionConfig
from transformers.models.sam.modeling_sam import SamVisionNeck

CELL = 16  # pixels a side that one cell of the embedding stands for
CHANNELS = 256
WIDTHS = (64, 128, 160, 320)
WINDOWS = (0, 7, 14, 7)  # cells a side that attend to each other, of each stage; 0: convolutions
DEPTHS = (2, 2, 6, 2)
MERGING = (2, 2, 1)  # strides; SAM wants a cell of 16 pixels, so the last one keeps the size
HEAD = 32  # channels of one attention head
GROWTH = 4  # times the channels inside a block


class TinyViT(nn.Module):
    """[B, 3, H, W], normalised, sides of a multiple of 16 -> [B, 256, H/16, W/16].

    Stateless, so threads may share it. `lower` says what convolutions and products compute in.
    """

    def __init__(self) -> None:
        super().__init__()
        first = WIDTHS[0]
        seq = (_conv(3, first // 2, 3, 2), nn.GELU(), _conv(first // 2, first, 3, 2))
        self.patch_embed = nn.Sequential(*seq)
        self.layers = nn.ModuleList(Stage(number) for number in range(len(DEPTHS)))
        self.neck = SamVisionNeck(SamVisionConfig(hidden_size=WIDTHS[-1], output_channels=CHANNELS))

    def lower(self, dtype: torch.dtype) -> "TinyViT":
        """All but the norms in `dtype`, as automatic mixed precision has it."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.to(dtype)
            elif isinstance(module, WindowAttention):
                module.bias.data = module.bias.data.to(dtype)
        return self

    def forward(self, pictures: Tensor) -> Tensor:
        cells: Tensor = self.patch_embed(pictures.to(next(self.parameters()).dtype))
        for stage in self.layers:
            cells = stage(cells)
        embedding: Tensor = self.neck(cells.permute(0, 2, 3, 1))
        return embedding


class Stage(nn.Module):
    """The blocks of one size of cells, and the merging after them."""

    def __init__(self, number: int) -> None:
        super().__init__()
        wide, window = WIDTHS[number], WINDOWS[number]
        self.blocks = nn.Sequential(
            *(AttentionBlock(wide, window) if window else ConvBlock(wide)
              for _ in range(DEPTHS[number]))
        )  # fmt: skip
        last = number == len(MERGING)
        self.downsample = (
            nn.Identity() if last else PatchMerging(wide, WIDTHS[number + 1], MERGING[number])
        )

    def forward(self, cells: Tensor) -> Tensor:
        merged: Tensor = self.downsample(self.blocks(cells))
        return merged


class ConvBlock(nn.Module):
    """A MobileNet block."""

    def __init__(self, wide: int) -> None:
        super().__init__()
        grown = GROWTH * wide
        self.conv1, self.conv3 = _conv(wide, grown, 1), _conv(grown, wide, 1)
        self.conv2 = _conv(grown, grown, 3, groups=grown)

    def forward(self, cells: Tensor) -> Tensor:
        inner = F.gelu(self.conv2(F.gelu(self.conv1(cells))))
        return F.gelu(cells + self.conv3(inner))


class PatchMerging(nn.Module):
    """To the next stage's channels, and its size."""

    def __init__(self, wide: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.conv3 = _conv(wide, out, 1), _conv(out, out, 1)
        self.conv2 = _conv(out, out, 3, stride, groups=out)

    def forward(self, cells: Tensor) -> Tensor:
        merged: Tensor = self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(cells)))))
        return merged


class AttentionBlock(nn.Module):
    """Attention in windows, a look around, and two pointwise layers."""

    def __init__(self, wide: int, window: int) -> None:
        super().__init__()
        self.attn = WindowAttention(wide, window)
        self.local_conv = _conv(wide, wide, 3, groups=wide)
        self.mlp = Mlp(wide)

    def forward(self, cells: Tensor) -> Tensor:
        cells = cells + self.attn(cells.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        seen: Tensor = self.local_conv(cells).permute(0, 2, 3, 1)
        out: Tensor = seen + self.mlp(seen)
        return out.permute(0, 3, 1, 2)


class WindowAttention(nn.Module):
    """[B, H, W, C] -> the same, each cell from those of its window."""

    def __init__(self, wide: int, window: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(wide)
        self.qkv, self.proj = nn.Linear(wide, 3 * wide), nn.Linear(wide, wide)
        self.bias = nn.Parameter(torch.zeros(wide // HEAD, window**2, window**2))  # by place
        self._window = window

    def forward(self, cells: Tensor) -> Tensor:
        parts, grid = _split(cells, self._window)
        shown = self.qkv(self.norm(parts)).view(*parts.shape[:2], -1, 3 * HEAD).transpose(1, 2)
        query, key, value = torch.split(shown, HEAD, -1)
        # torch's quick attention on a processor takes a mask of four axes only.
        seen = F.scaled_dot_product_attention(query, key, value, self.bias[None])
        return _join(self.proj(seen.transpose(1, 2).flatten(2)), grid, self._window)


class Mlp(nn.Module):
    """Two pointwise layers over channels, which lie last."""

    def __init__(self, wide: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(wide)
        self.fc1, self.fc2 = nn.Linear(wide, GROWTH * wide), nn.Linear(GROWTH * wide, wide)

    def forward(self, cells: Tensor) -> Tensor:
        seen: Tensor = self.fc2(F.gelu(self.fc1(self.norm(cells))))
        return seen


def _conv(wide: int, out: int, size: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(wide, out, size, stride, size // 2, groups=groups)


def _split(cells: Tensor, window: int) -> tuple[Tensor, tuple[int, ...]]:
    """[B, H, W, C] -> windows [N, window^2, C], padded with zeros, and the shape before."""
    batch, height, width, channels = cells.shape
    down, right = -height % window, -width % window
    cells = F.pad(cells, (0, 0, 0, right, 0, down))
    rows, cols = (height + down) // window, (width + right) // window
    parts = cells.reshape(batch, rows, window, cols, window, channels).transpose(2, 3)
    return parts.reshape(-1, window * window, channels), (batch, height, width, channels)


def _join(parts: Tensor, shape: tuple[int, ...], window: int) -> Tensor:
    """What `_split` took apart."""
    batch, height, width, channels = shape
    rows, cols = -(-height // window), -(-width // window)
    cells = parts.reshape(batch, rows, cols, window, window, channels).transpose(2, 3)
    whole = cells.reshape(batch, rows * window, cols * window, channels)
    return whole[:, :height, :width]
