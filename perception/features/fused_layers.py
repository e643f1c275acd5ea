"""Convolutions that pad as TensorFlow does, with what follows them done inside.

In eager mode every activation and every padding is a pass over memory of its own, a third of the
time on a CPU. oneDNN does them in the convolution's kernel, with the same numbers; where it is not
at hand the same modules run plainly.
"""

from collections.abc import Callable, Sequence
from functools import partial, reduce
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perception.torch_compat import fused_convolution, has_fused_convolution

Layer = Callable[[Tensor], Tensor]
After = Literal["none", "relu", "relu6", "hardswish"]

# What follows a convolution: in oneDNN's words, and as a function.
AFTER: dict[After, tuple[tuple[str, list[float], str], Layer]] = {
    "none": (("none", [], ""), lambda x: x),
    "relu": (("relu", [], ""), F.relu),
    "relu6": (("hardtanh", [0.0, 6.0], ""), F.relu6),
    "hardswish": (("hardswish", [], ""), F.hardswish),
}


class SameConv2d(nn.Conv2d):
    """A convolution and what follows it over [N, C, H, W], for inference; padding is `SAME`.

    TensorFlow pads a stride of 2 on one side only where a side of the picture is even. There the
    kernel is grown by a line of zeros instead: the same sums, and no padded copy of the picture.
    """

    def __init__(
        self,
        wide: int,
        out: int,
        size: int,
        stride: int = 1,
        *,
        groups: int = 1,
        after: After = "none",
        bias: bool = True,
    ) -> None:
        """`size` is odd, in pixels; `stride` 1 or 2."""
        super().__init__(wide, out, size, stride, (size - 1) // 2, groups=groups, bias=bias)
        self._within, self._after = AFTER[after]
        self._sides = [(size - 1) // 2] * 2, [stride] * 2, [1, 1]  # padding, stride, dilation
        self._fused = has_fused_convolution()

    def forward(self, x: Tensor) -> Tensor:
        weight = self._kernel(x.shape[2] % 2, x.shape[3] % 2)
        if self._fused and x.is_cpu:
            return fused_convolution(x, weight, self.bias, *self._sides, self.groups, self._within)
        plain = F.conv2d(x, weight, self.bias, self.stride, self.padding, 1, self.groups)
        return self._after(plain)

    def frozen(self) -> Layer:
        """The same, with the weights as they are now: looking them up costs a backbone 5 %."""
        if not (self._fused and self.weight.is_cpu):
            return self
        kernels = {(tall, wide): self._kernel(tall, wide) for tall in (0, 1) for wide in (0, 1)}
        how = (self.bias, *self._sides, self.groups, self._within)
        return lambda x: fused_convolution(x, kernels[x.shape[2] % 2, x.shape[3] % 2], *how)

    def _kernel(self, tall: int, wide: int) -> Tensor:
        """For sides that are odd (1) or even (0)."""
        if self.stride[0] == 1:
            return self.weight
        return F.pad(self.weight, (1 - wide, 0, 1 - tall, 0))


def lite_stages(model: Any) -> list[Layer]:
    """Stem, blocks and head of a timm EfficientNet-Lite whose normalisation is folded in."""
    blocks = [partial(_chain, [_block(block) for block in group]) for group in model.blocks]
    return [_fuse(model.conv_stem, model.bn1), *blocks, _fuse(model.conv_head, model.bn2)]


def _fuse(conv: Any, act: Any) -> Layer:
    """timm's Conv2d or Conv2dSame and the activation after it, on the same weights."""
    after: After = "relu6" if isinstance(act, nn.ReLU6) else "none"
    size, stride, groups = conv.kernel_size[0], conv.stride[0], conv.groups
    with torch.device("meta"):
        made = SameConv2d(
            conv.in_channels, conv.out_channels, size, stride, groups=groups, after=after
        )
    made.weight, made.bias = conv.weight, conv.bias
    return made.requires_grad_(False).frozen()


def _block(block: Any) -> Layer:
    """timm's DepthwiseSeparableConv or InvertedResidual."""
    order = ("conv_pw", "conv_dw", "conv_pwl")
    convs = order if hasattr(block, "conv_pwl") else ("conv_dw", "conv_pw")
    layers = [
        _fuse(getattr(block, name), getattr(block, f"bn{number}"))
        for number, name in enumerate(convs, 1)
    ]
    inner = partial(_chain, layers)
    return partial(_skip, inner) if block.has_skip else inner


def _chain(layers: Sequence[Layer], x: Tensor) -> Tensor:
    return reduce(lambda hidden, layer: layer(hidden), layers, x)


def _skip(inner: Layer, x: Tensor) -> Tensor:
    return inner(x).add_(x)
