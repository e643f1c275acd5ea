"""EfficientNet-Lite's layers with what follows each convolution done inside it.

In eager mode every ReLU6 and every padding is a pass over memory of its own, a third of the time on
a CPU. oneDNN does them in the convolution's kernel, with the same numbers; where it is not at hand
the plain modules run.
"""

from collections.abc import Callable, Sequence
from functools import partial, reduce
from typing import Any

import torch
import torch.nn.functional as F

from perception.torch_compat import fused_convolution, has_fused_convolution

Layer = Callable[[torch.Tensor], torch.Tensor]

CLAMP: tuple[str, list[float], str] = ("hardtanh", [0.0, 6.0], "")  # ReLU6
NOTHING: tuple[str, list[float], str] = ("none", [], "")


def can_fuse(device: str) -> bool:
    """Whether oneDNN's fused convolution is there."""
    return torch.device(device).type == "cpu" and has_fused_convolution()


def lite_stages(model: Any, fused: bool) -> list[Layer]:
    """Stem, blocks and head of a timm EfficientNet-Lite whose normalisation is folded in."""
    if not fused:
        ends = ((model.bn1, model.conv_stem), (model.bn2, model.conv_head))
        stem, head = (partial(_after, act, conv) for act, conv in ends)
        return [stem, *model.blocks, head]
    blocks = [partial(_chain, [_block(block) for block in group]) for group in model.blocks]
    return [
        FusedConv(model.conv_stem, model.bn1),
        *blocks,
        FusedConv(model.conv_head, model.bn2),
    ]


class FusedConv:
    """A convolution, its padding and perhaps ReLU6 over [N, C, H, W].

    TensorFlow pads a stride of 2 on one side only where a side of the picture is even. There the
    kernel is grown by a line of zeros instead: the same sums, and no padded copy of the picture.
    """

    def __init__(self, conv: Any, after: Any) -> None:
        """`conv` is a Conv2d that keeps the size, or timm's Conv2dSame; `after` what follows it."""
        size, stride = conv.kernel_size[0], conv.stride[0]
        weight, self._bias = conv.weight.detach(), conv.bias.detach()
        self._padding, self._stride = [(size - 1) // 2] * 2, [stride] * 2
        self._groups = conv.groups
        self._after = CLAMP if isinstance(after, torch.nn.ReLU6) else NOTHING
        # By whether height and width are even.
        self._weights = {
            (tall, wide): _grown(weight, tall, wide) if stride == 2 else weight
            for tall in (False, True)
            for wide in (False, True)
        }

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return fused_convolution(
            x,
            self._weights[x.shape[2] % 2 == 0, x.shape[3] % 2 == 0],
            self._bias,
            self._padding,
            self._stride,
            [1, 1],
            self._groups,
            self._after,
        )


def _grown(weight: torch.Tensor, tall: bool, wide: bool) -> torch.Tensor:
    """A row of zeros above and a column on the left where a side is even."""
    grown = F.pad(weight, (int(wide), 0, int(tall), 0))
    return grown.contiguous(memory_format=torch.channels_last)


def _block(block: Any) -> Layer:
    """timm's DepthwiseSeparableConv or InvertedResidual."""
    order = ("conv_pw", "conv_dw", "conv_pwl")
    convs = order if hasattr(block, "conv_pwl") else ("conv_dw", "conv_pw")
    layers = [
        FusedConv(getattr(block, name), getattr(block, f"bn{number}"))
        for number, name in enumerate(convs, 1)
    ]
    inner = partial(_chain, layers)
    return partial(_skip, inner) if block.has_skip else inner


def _chain(layers: Sequence[Layer], x: torch.Tensor) -> torch.Tensor:
    return reduce(lambda hidden, layer: layer(hidden), layers, x)


def _skip(inner: Layer, x: torch.Tensor) -> torch.Tensor:
    return inner(x).add_(x)


def _after(act: Layer, conv: Layer, x: torch.Tensor) -> torch.Tensor:
    return act(conv(x))
