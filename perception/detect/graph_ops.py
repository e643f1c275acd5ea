"""TensorFlow's operations on torch tensors in TensorFlow's order [N, H, W, C].

Each maker takes a node and the constants and gives a step, or raises AssetError for a variant that
is not handled. Padding `SAME` is TensorFlow's: what is missing is split between both sides, the
odd line goes to the bottom and the right.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F

from perception.detect.graph_node import Node
from perception.features.fused_layers import can_fuse
from perception.torch_compat import fused_convolution
from stream.errors import AssetError

Tensors = Sequence[torch.Tensor]
Weights = Mapping[str, torch.Tensor]
Step = Callable[[Tensors], Tensors]
Simple = Callable[[Tensors, Node], torch.Tensor]

# Of a convolution: what comes after it in TensorFlow's words, in oneDNN's, and as a function.
AFTER: dict[str, tuple[tuple[str, list[float], str], Callable[[torch.Tensor], torch.Tensor]]] = {
    "": (("none", [], ""), lambda x: x),
    "Relu": (("relu", [], ""), F.relu),
    "Relu6": (("hardtanh", [0.0, 6.0], ""), F.relu6),
    "Sigmoid": (("sigmoid", [], ""), torch.sigmoid),
    "HardSwish": (("hardswish", [], ""), F.hardswish),
}
CONVOLUTIONS = ("Conv2D", "_FusedConv2D", "DepthwiseConv2dNative", "FusedDepthwiseConv2dNative")


def make_step(
    node: Node, weights: Weights, dtype: torch.dtype
) -> tuple[Step, tuple[str, ...]] | None:
    """What a node does and which values it reads then; None for an unknown operation."""
    if node.op in CONVOLUTIONS:
        return Convolution(node, weights, dtype), node.inputs[:1]
    if node.op == "TopKV2":
        return _top_k, node.inputs
    simple = SIMPLE.get(node.op)
    if simple is None:
        return None
    _refuse(node)
    return (lambda values: (simple(values, node),)), node.inputs


def same_padding(size: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """Lines before and after a side so that a window of `kernel` gives ceil(size / stride)."""
    reach = (kernel - 1) * dilation + 1
    missing = max(0, (-(-size // stride) - 1) * stride + reach - size)
    return missing // 2, missing - missing // 2


class Convolution:
    """Plain or depthwise, with its bias and what comes after it, and TensorFlow's padding."""

    def __init__(self, node: Node, weights: Weights, dtype: torch.dtype) -> None:
        kernel, bias = _parameters(node, weights)
        after = [name for name in node.get("fused_ops", []) if name != "BiasAdd"]
        if len(after) > 1 or (after and after[0] not in AFTER):
            raise AssetError(f"{node.name}: expected at most one of {list(AFTER)}, got {after}")
        self._fused, self._plain = AFTER[after[0] if after else ""]
        self._stride = [int(side) for side in node.get("strides", [1, 1, 1, 1])[1:3]]
        self._dilation = [int(side) for side in (node.get("dilations") or [1, 1, 1, 1])[1:3]]
        self._same, self._dtype = _padding(node) == "SAME", dtype
        if "Depthwise" in node.op:
            high, wide, channels, times = kernel.shape
            self._groups = channels
            kernel = kernel.permute(2, 3, 0, 1).reshape(channels * times, 1, high, wide)
        else:
            self._groups, kernel = 1, kernel.permute(3, 2, 0, 1)
        self._bias = bias.to(dtype)
        self._kernel = kernel.to(dtype).contiguous(memory_format=torch.channels_last)
        self._grown: dict[tuple[int, int], torch.Tensor] = {}
        self._onednn = can_fuse("cpu")

    def __call__(self, values: Tensors) -> Tensors:
        x = values[0].to(self._dtype).permute(0, 3, 1, 2)
        rows, cols = self._pads(x, 0), self._pads(x, 1)
        kernel = self._kernel_for(rows[1] - rows[0], cols[1] - cols[0])
        padding = [rows[1], cols[1]]
        if self._onednn:
            out = fused_convolution(
                x, kernel, self._bias, padding, self._stride, self._dilation, self._groups,
                self._fused,
            )  # fmt: skip
        else:
            out = self._plain(
                F.conv2d(x, kernel, self._bias, self._stride, padding, self._dilation, self._groups)
            )
        return (out.permute(0, 2, 3, 1),)

    def _pads(self, x: torch.Tensor, axis: int) -> tuple[int, int]:
        if not self._same:
            return 0, 0
        size, kernel = int(x.shape[2 + axis]), int(self._kernel.shape[2 + axis])
        return same_padding(size, kernel, self._stride[axis], self._dilation[axis])

    def _kernel_for(self, down: int, right: int) -> torch.Tensor:
        """With lines of zeros before, where more is padded after: no padded copy of the input."""
        if not (down or right):
            return self._kernel
        if (down, right) not in self._grown:
            if max(self._dilation) > 1:
                raise AssetError("expected no dilation where padding is uneven")
            grown = F.pad(self._kernel, (right, 0, down, 0))
            self._grown[down, right] = grown.contiguous(memory_format=torch.channels_last)
        return self._grown[down, right]


def _parameters(node: Node, weights: Weights) -> tuple[torch.Tensor, torch.Tensor]:
    """The constant kernel and bias of a convolution; without a bias, zeros."""
    found = [weights.get(name) for name in node.inputs[1:]]
    if not found or any(value is None for value in found):
        raise AssetError(f"{node.name}: expected a kernel and a bias that are constants")
    kernel = found[0]
    assert kernel is not None
    count = int(kernel.shape[2] * kernel.shape[3] if "Depthwise" in node.op else kernel.shape[3])
    bias = found[1] if len(found) > 1 else None
    return kernel, torch.zeros(count) if bias is None else bias


def _padding(node: Node) -> str:
    padding = str(node.get("padding"))
    if padding not in ("SAME", "VALID") or node.get("data_format", "NHWC") != "NHWC":
        raise AssetError(f"{node.name}: expected SAME or VALID in NHWC, got {padding}")
    return padding


def _refuse(node: Node) -> None:
    """Raise AssetError for variants that the simple operations do not have."""
    unlike = [
        name
        for name in ("ellipsis_mask", "new_axis_mask", "shrink_axis_mask", "batch_dims")
        if node.get(name)
    ]
    if unlike:
        raise AssetError(f"{node.name}: {node.op} with {', '.join(unlike)} is not handled here")
    if node.op == "MaxPool":
        _padding(node)


def _numbers(value: torch.Tensor) -> list[int]:
    return [int(number) for number in value.reshape(-1).tolist()]


def _max_pool(values: Tensors, node: Node) -> torch.Tensor:
    x = values[0].permute(0, 3, 1, 2)
    size, stride = node.get("ksize")[1:3], node.get("strides")[1:3]
    if node.get("padding") == "SAME":
        rows, cols = (same_padding(int(x.shape[2 + n]), size[n], stride[n]) for n in (0, 1))
        if any((*rows, *cols)):
            x = F.pad(x, (*cols, *rows), value=float("-inf"))
    return F.max_pool2d(x, size, stride).permute(0, 2, 3, 1)


def _mean(values: Tensors, node: Node) -> torch.Tensor:
    keep = bool(node.get("keep_dims", False))
    return values[0].float().mean(dim=_numbers(values[1]), keepdim=keep)


def _resize(values: Tensors, node: Node) -> torch.Tensor:
    """Bilinear; without half pixel centres a line of the output lies at (line * in / out)."""
    x = values[0]
    for axis, side in ((1, _numbers(values[1])[0]), (2, _numbers(values[1])[1])):
        size = int(x.shape[axis])
        at = torch.arange(side, dtype=torch.float32)
        if node.get("align_corners"):
            at = at * ((size - 1) / max(1, side - 1))
        elif node.get("half_pixel_centers"):
            at = ((at + 0.5) * (size / side) - 0.5).clamp(min=0)
        else:
            at = at * (size / side)
        low = at.floor().long().clamp(max=size - 1)
        high = (low + 1).clamp(max=size - 1)
        share = (at - low).to(x.dtype).reshape((-1,) + (1,) * (x.dim() - 1 - axis))
        x = torch.lerp(x.index_select(axis, low), x.index_select(axis, high), share)
    return x


def _strided_slice(values: Tensors, node: Node) -> torch.Tensor:
    begin, end, step = (_numbers(value) for value in values[1:4])
    parts = []
    for axis in range(len(begin)):
        first = None if node.get("begin_mask", 0) >> axis & 1 else begin[axis]
        last = None if node.get("end_mask", 0) >> axis & 1 else end[axis]
        parts.append(slice(first, last, step[axis]))
    return values[0][tuple(parts)]


def _pad(values: Tensors, node: Node) -> torch.Tensor:
    return F.pad(values[0], _numbers(values[1].flip(0)))


def _cast(values: Tensors, node: Node) -> torch.Tensor:
    kinds = {"DT_FLOAT": torch.float32, "DT_INT32": torch.int32, "DT_BOOL": torch.bool}
    if node.get("DstT") not in kinds:
        raise AssetError(f"{node.name}: a cast to {node.get('DstT')} is not handled here")
    return values[0].to(kinds[node.get("DstT")])


def _top_k(values: Tensors) -> Tensors:
    best, places = values[0].topk(_numbers(values[1])[0], sorted=True)
    return best, places.to(torch.int32)


def _gather(values: Tensors, node: Node) -> torch.Tensor:
    axis = _numbers(values[2])[0] if len(values) > 2 else 0
    return values[0].index_select(axis, values[1].reshape(-1).long())


def _concat(values: Tensors, node: Node) -> torch.Tensor:
    *parts, axis = values
    return torch.cat([part.to(parts[0].dtype) for part in parts], dim=_numbers(axis)[0])


def _elementwise(operation: Callable[..., Any]) -> Simple:
    return lambda values, node: operation(*values)


SIMPLE: dict[str, Simple] = {
    "Add": _elementwise(torch.add),
    "AddV2": _elementwise(torch.add),
    "Cast": _cast,
    "ConcatV2": _concat,
    "Equal": _elementwise(torch.eq),
    "ExpandDims": lambda values, node: values[0].unsqueeze(_numbers(values[1])[0]),
    "FloorDiv": _elementwise(torch.floor_divide),
    "FloorMod": _elementwise(torch.remainder),
    "GatherV2": _gather,
    "HardSwish": _elementwise(F.hardswish),
    "Identity": lambda values, node: values[0],
    "MaxPool": _max_pool,
    "Mean": _mean,
    "Mul": _elementwise(torch.mul),
    "Pad": _pad,
    "Relu": _elementwise(F.relu),
    "Relu6": _elementwise(F.relu6),
    "Reshape": lambda values, node: values[0].reshape(_numbers(values[1])),
    "ResizeBilinear": _resize,
    "Sigmoid": lambda values, node: torch.sigmoid(values[0].float()),
    "StridedSlice": _strided_slice,
    "Sub": _elementwise(torch.sub),
}
