"""The private names of torch, all that are used: no other module touches one.

oneDNN's operators that torch's own compiler emits, and a module's table of parts. pyproject.toml
holds torch to WRITTEN_FOR, and a test tells what to do where another is installed.
"""

import copy
from typing import Any

import torch

WRITTEN_FOR = {"torch": ("2.13", "2.16")}  # from, below


def has_fused_convolution() -> bool:
    """Whether oneDNN's convolution with what follows it is in this build."""
    there = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return bool(there) and hasattr(torch.ops.mkldnn, "_convolution_pointwise")


def fused_convolution(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    padding: list[int],
    stride: list[int],
    dilation: list[int],
    groups: int,
    after: tuple[str, list[Any], str],
) -> torch.Tensor:
    """A convolution over [N, C, H, W] on the CPU, and `after` it: ("hardtanh", [0, 6], "")."""
    out: torch.Tensor = torch.ops.mkldnn._convolution_pointwise(
        x, weight, bias, padding, stride, dilation, groups, *after
    )
    return out


def pack_linear(weight: torch.Tensor) -> torch.Tensor:
    """[O, I] laid out for this CPU; raises AttributeError or RuntimeError where it cannot be."""
    packed: torch.Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), None)
    return packed


def packed_linear(
    x: torch.Tensor, packed: torch.Tensor, bias: torch.Tensor | None, activation: str
) -> torch.Tensor:
    """[..., I] -> [..., O] with a packed weight, and "none", "relu" or "gelu" after it."""
    out: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, packed, bias, activation, [], "none")
    return out


def multiplies_bfloat16() -> bool:
    """Whether this processor has instructions for bfloat16 products."""
    return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)())


def some_layers(network: Any, start: int, end: int) -> Any:
    """Layers of a Llama-like model as a model that shares all weights; the last has the norm."""
    part = copy.copy(network)
    part._modules = dict(network._modules)
    part.layers = network.layers[start:end]
    if end < len(network.layers):
        part.norm = torch.nn.Identity()
    return part
