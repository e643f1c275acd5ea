"""BlazeFace, the model for back cameras: a picture in, raw scores and boxes of faces out.

Bazarevsky et al., "BlazeFace: Sub-millisecond Neural Face Detection", 2019.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perception.features.fused_layers import SameConv2d

STEM = 24
STAGES = ((24, 7, 1), (24, 8, 2), (48, 8, 2), (96, 8, 2))  # channels, blocks, stride of the first
FINE, COARSE = 2, 6  # anchors a cell
COORDINATES = 16  # a box and six points


class BlazeFace(nn.Module):
    """[N, 3, 256, 256] RGB in -1..1 -> [N, 896] logits and [N, 896, 16] boxes and points, raw.

    Anchors: two in each of 16 x 16 cells, then six in each of 8 x 8. A box is its centre's distance
    from the anchor's, x and y, then width and height, all in pixels of the picture.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv2d(3, STEM, 5, 2, after="relu")
        blocks, wide = [], STEM
        for out, count, stride in STAGES:
            blocks += [FaceBlock(wide if n == 0 else out, out, stride if n == 0 else 1)
                       for n in range(count)]  # fmt: skip
            wide = out
        self.blocks = nn.ModuleList(blocks)
        self.coarser = nn.Sequential(
            SameConv2d(wide, wide, 3, 2, groups=wide, bias=False),
            SameConv2d(wide, wide, 1, after="relu"),
        )
        self.fine = AnchorHead(wide, FINE)
        self.coarse = AnchorHead(wide, COARSE)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stem(pictures)
        for block in self.blocks:
            x = block(x)
        fine, coarse = self.fine(x), self.coarse(self.coarser(x))
        scores, boxes = (torch.cat(pair, 1) for pair in zip(fine, coarse, strict=True))
        return scores, boxes


class FaceBlock(nn.Module):
    """A depthwise and a pointwise convolution beside what came in."""

    def __init__(self, wide: int, out: int, stride: int) -> None:
        super().__init__()
        self.depthwise = SameConv2d(wide, wide, 3, stride, groups=wide, bias=False)
        self.pointwise = SameConv2d(wide, out, 1)
        self._stride, self._more = stride, out - wide

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.pointwise(self.depthwise(x))
        if self._stride > 1:
            x = F.max_pool2d(x, 2)
        if self._more:
            x = F.pad(x, (0, 0, 0, 0, 0, self._more))
        return out.add_(x).relu_()


class AnchorHead(nn.Module):
    """What is said of each anchor of one grid, cell by cell."""

    def __init__(self, wide: int, times: int) -> None:
        super().__init__()
        self.scores = SameConv2d(wide, times, 1)
        self.boxes = SameConv2d(wide, times * COORDINATES, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scores, boxes = (head(x).permute(0, 2, 3, 1) for head in (self.scores, self.boxes))
        return scores.flatten(1), boxes.reshape(len(x), -1, COORDINATES)
