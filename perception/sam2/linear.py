"""Linear layers with weights laid out for this CPU once, and the activation in the same pass.

Mixed precision, here and wherever `mixed` is said: what lives on between layers stays float32
(tokens, norms, position codes, rotary turns), and products take bfloat16 numbers. So does the
`sam2` package under `torch.autocast(..., torch.bfloat16)`, as its examples run it.
"""

import copy
from functools import cache
from typing import Any, Literal

import torch
import torch.nn.functional as F

from perception.torch_compat import pack_linear, packed_linear

Activation = Literal["none", "relu", "gelu"]
HALF = torch.bfloat16  # of mixed precision's products
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.05}


class FastLinear:
    """`activation(x @ weight.T + bias)`, equal to torch's up to rounding.

    On a CPU the weight is packed for oneDNN (5 to 15 % faster than MKL on AMD, and no second pass
    for the activation); elsewhere, or where this build lacks the operator, it is torch's own
    linear. `mixed`: float32 in and out, the product of bfloat16 numbers summed in float32; twice
    as fast on CPUs with such instructions.
    """

    def __init__(
        self,
        weight: torch.Tensor,
        bias: torch.Tensor,
        activation: Activation = "none",
        mixed: bool = False,
    ) -> None:
        kind = torch.bfloat16 if mixed else weight.dtype
        self._weight, self._bias = weight.detach().to(kind), bias.detach().to(kind)
        self._activation: Activation = activation
        self._packed = _pack(self._weight, self._bias, activation)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """[..., I] -> [..., O] in the precision of `x`."""
        given = x.to(self._weight.dtype)
        # torch.compile packs weights itself, and cannot take ones that are packed already.
        if self._packed is not None and not torch.compiler.is_compiling():
            out = packed_linear(given, self._packed, self._bias, self._activation)
        else:
            out = _plain(given, self._weight, self._bias, self._activation)
        return out.to(x.dtype)


def on_cpu(device: torch.device) -> bool:
    """Whether the ways that suit CPUs are taken: packed products, narrow values, rows by rows."""
    return device.type == "cpu"


def attended(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scale: float,
    mixed: bool,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """Scaled dot product attention, in and out in the precision of `query`.

    `mixed`: of bfloat16 numbers, off the CPU (the fused kernels of GPUs want them; torch's own
    for CPUs gains nothing by them). `mask`: added to the scores.
    """
    kind = query.dtype
    if mixed and not on_cpu(query.device):
        query, key, value = query.to(HALF), key.to(HALF), value.to(HALF)
        mask = None if mask is None else mask.to(HALF)
    found = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale)
    return found.to(kind)


def halved(module: Any, mixed: bool) -> Any:
    """Convolutions of mixed precision: off the CPU a copy in bfloat16, else the module itself."""
    off = not on_cpu(next(module.parameters()).device)
    return copy.deepcopy(module).to(HALF) if mixed and off else module


def convolved(conv: Any, x: torch.Tensor) -> torch.Tensor:
    """`conv(x)` in the precision of `x`, whatever the convolution multiplies."""
    out: torch.Tensor = conv(x.to(conv.weight.dtype)).to(x.dtype)
    return out


def fast(module: Any, activation: Activation = "none", mixed: bool = False) -> FastLinear:
    """The same layer as a torch `Linear` followed by `activation`."""
    return FastLinear(module.weight, module.bias, activation, mixed)


def as_linear(conv: Any, mixed: bool = False) -> FastLinear:
    """A 1x1 convolution as a linear layer over channels."""
    return FastLinear(conv.weight[:, :, 0, 0], conv.bias, mixed=mixed)


def folded(first: Any, second: Any, mixed: bool = False) -> FastLinear:
    """Two 1x1 convolutions in a row as one linear layer."""
    before, after = first.weight[:, :, 0, 0], second.weight[:, :, 0, 0]
    return FastLinear(after @ before, after @ first.bias + second.bias, mixed=mixed)


class Rows:
    """A [N, K] matrix that is multiplied from the left again and again: `x @ rows.T`."""

    def __init__(self, rows: torch.Tensor, mixed: bool = False) -> None:
        self._rows = rows.to(torch.bfloat16) if mixed else rows
        self._packed: torch.Tensor | None = None
        compiling = torch.compiler.is_compiling()
        if rows.device.type == "cpu" and not compiling and _has_packing(self._rows.dtype):
            self._packed = pack_linear(self._rows)

    def after(self, x: torch.Tensor) -> torch.Tensor:
        """[M, K] -> [M, N]."""
        given = x.to(self._rows.dtype)
        if self._packed is not None and not torch.compiler.is_compiling():
            return packed_linear(given, self._packed, None, "none").to(x.dtype)
        return (given @ self._rows.T).to(x.dtype)


def _pack(weight: torch.Tensor, bias: torch.Tensor, activation: Activation) -> torch.Tensor | None:
    """The packed weight, or None where that does not work or gives another result."""
    tolerance = TOLERANCE.get(weight.dtype)
    if weight.device.type != "cpu" or tolerance is None:
        return None
    probe = torch.linspace(-1, 1, 8 * weight.shape[1]).view(8, -1).to(weight.dtype)
    try:  # tried before it is used
        packed = pack_linear(weight)
        found = packed_linear(probe, packed, bias, activation)
    except (AttributeError, RuntimeError, TypeError):
        return None
    expected = _plain(probe, weight, bias, activation)
    scale = float(expected.abs().max()) + 1.0
    return packed if float((found - expected).abs().max()) <= tolerance * scale else None


@cache
def _has_packing(dtype: torch.dtype) -> bool:
    """Whether packed products work here; asked once for each precision."""
    with torch.inference_mode():
        ones = torch.ones(16, 16, dtype=dtype)
        return _pack(ones, torch.zeros(16, dtype=dtype), "none") is not None


def _plain(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, activation: Activation
) -> torch.Tensor:
    out = F.linear(x, weight, bias)
    if activation == "relu":
        return F.relu(out)
    return F.gelu(out) if activation == "gelu" else out
