"""CenterNet on MobileNetV3: a picture in, how much each cell is a thing's centre out.

Zhou et al., "Objects as Points", 2019; Howard et al., "Searching for MobileNetV3", 2019; as trained
by 610265158/mobilenetv3_centernet, whose batch norms are folded into the convolutions.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perception.features.fused_layers import After, SameConv2d

CLASSES = 80
STEM, LAST = 16, 480  # channels
TAPS = {3: "c2", 5: "c3", 11: "c4"}  # blocks that the head reads, at strides 4, 8 and 16
DEEPEST = 11  # of this one it reads the output, of the others the expanded channels


class BlockShape(NamedTuple):
    """One inverted residual block."""

    size: int  # of the depthwise kernel
    grown: int
    out: int
    squeezed: int  # channels of the squeeze; 0: none
    stride: int = 1
    after: After = "hardswish"


ROWS = (
    BlockShape(3, 16, 16, 0, after="relu"),
    BlockShape(3, 64, 24, 0, 2, "relu"),
    BlockShape(3, 72, 24, 0, after="relu"),
    BlockShape(5, 72, 32, 24, 2, "relu"),
    BlockShape(5, 96, 32, 24, after="relu"),
    BlockShape(5, 96, 32, 24, after="relu"),
    BlockShape(3, 192, 64, 0, 2),
    BlockShape(3, 160, 64, 0),
    BlockShape(3, 144, 64, 0),
    BlockShape(3, 144, 64, 0),
    BlockShape(3, 384, 88, 96),
    BlockShape(3, 528, 88, 136),
    BlockShape(5, 528, 120, 136, 2),
    BlockShape(5, 720, 120, 184),
    BlockShape(5, 720, 120, 184),
)


class CenterNet(nn.Module):
    """[N, 3, H, W] RGB in 0..255, sides a multiple of 32 -> two maps at a quarter of the size.

    [N, 80, h, w] float32: how much, 0..1, each cell is the centre of a thing of each of COCO's
    classes; [N, 4, h, w]: how many pixels its left, top, right and bottom edges are away.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv2d(3, STEM, 3, 2, after="hardswish")
        wides = [STEM, *(row.out for row in ROWS)]
        self.blocks = nn.ModuleList(
            MobileBlock(w, row) for w, row in zip(wides, ROWS, strict=False)
        )
        self.last = SameConv2d(wides[-1], LAST, 1, after="hardswish")
        self.laterals = nn.ModuleDict(
            {"c2": Lateral(72, 18, 64), "c3": Lateral(96, 24, 96), "c4": Lateral(88, 22, 128)}
        )
        self.ups = nn.ModuleDict({"c3": Up(192, 64), "c4": Up(256, 96), "c5": Up(LAST, 128)})
        self.gate = Squeeze(128, 32, hard=False)
        self.heat = Separable(128, CLASSES, 3)
        self.reach = Separable(128, 4, 3)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        x, seen = self.stem(pictures), {}
        for number, block in enumerate(self.blocks):
            x, grown = block(x)
            if number in TAPS:
                seen[TAPS[number]] = x if number == DEEPEST else grown
        x = self.last(x)
        for fine, coarse in (("c4", "c5"), ("c3", "c4"), ("c2", "c3")):
            x = torch.cat([self.laterals[fine](seen[fine]), self.ups[coarse](x)], 1).relu_()
        x = self.gate(x)
        return torch.sigmoid(self.heat(x).float()), self.reach(x)


class MobileBlock(nn.Module):
    """An inverted residual, which also gives its expanded channels."""

    def __init__(self, wide: int, row: BlockShape) -> None:
        super().__init__()
        same = row.grown == wide
        self.expand = nn.Identity() if same else SameConv2d(wide, row.grown, 1, after=row.after)
        self.depthwise = SameConv2d(
            row.grown, row.grown, row.size, row.stride, groups=row.grown, after=row.after
        )
        self.squeeze = Squeeze(row.grown, row.squeezed) if row.squeezed else nn.Identity()
        self.project = SameConv2d(row.grown, row.out, 1)
        self._residual = wide == row.out and row.stride == 1

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        grown = self.expand(x)
        out = self.project(self.squeeze(self.depthwise(grown)))
        return (out.add_(x) if self._residual else out), grown


class Squeeze(nn.Module):
    """Squeeze-and-excite with MobileNetV3's hard sigmoid, or the head's true one."""

    def __init__(self, wide: int, narrow: int, hard: bool = True) -> None:
        super().__init__()
        self.reduce = SameConv2d(wide, narrow, 1, after="relu")
        self.expand = SameConv2d(narrow, wide, 1, bias=hard)
        self._gate = F.hardsigmoid if hard else torch.sigmoid

    def forward(self, x: Tensor) -> Tensor:
        return x * self._gate(self.expand(self.reduce(x.mean((2, 3), keepdim=True))))


class Separable(nn.Module):
    """A depthwise and a pointwise convolution."""

    def __init__(self, wide: int, out: int, size: int) -> None:
        super().__init__()
        self.depthwise = SameConv2d(wide, wide, size, groups=wide, bias=False)
        self.pointwise = SameConv2d(wide, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.pointwise(self.depthwise(x))
        return out


class Lateral(nn.Module):
    """What the head takes from the backbone at one stride."""

    def __init__(self, wide: int, narrow: int, out: int) -> None:
        super().__init__()
        self.reduce = SameConv2d(wide, narrow, 1, after="relu")
        self.look = Separable(narrow, out, 5)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.look(self.reduce(x))
        return out


class Up(nn.Module):
    """Two looks added, and twice the size."""

    def __init__(self, wide: int, out: int) -> None:
        super().__init__()
        self.near, self.far = Separable(wide, out, 3), Separable(wide, out, 5)

    def forward(self, x: Tensor) -> Tensor:
        return doubled(self.near(x).add_(self.far(x)))


def doubled(x: Tensor) -> Tensor:
    """[N, C, h, w] -> [N, C, 2h, 2w], bilinear as TensorFlow did it first: line n lies at n / 2."""
    height, width = x.shape[2:]
    edged = F.pad(x, (0, 1, 0, 1), mode="replicate")
    size = (2 * height + 1, 2 * width + 1)
    grown = F.interpolate(edged, size, mode="bilinear", align_corners=True)
    return grown[:, :, :-1, :-1]
