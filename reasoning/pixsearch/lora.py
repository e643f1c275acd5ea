"""Low-rank adapters (Hu et al., 2021) on the linear layers of a frozen language model."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class LoraLinear(nn.Module):
    """A frozen linear layer plus a low-rank change; without training it is the layer itself."""

    def __init__(self, base: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        self.base = base
        self.down = nn.Parameter(torch.empty(rank, base.in_features))
        self.up = nn.Parameter(torch.zeros(base.out_features, rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))
        self.scale = alpha / rank

    def forward(self, hidden: Tensor) -> Tensor:
        """[..., in] -> [..., out]; the adapters are kept in float32, the sum in the base's type."""
        low = F.linear(hidden, self.down.to(hidden.dtype))
        change = F.linear(low, self.up.to(hidden.dtype)) * self.scale
        result: Tensor = self.base(hidden) + change
        return result


def add_lora(
    layers: Sequence[nn.Module], rank: int, alpha: float, targets: Sequence[str] = TARGETS
) -> None:
    """Replace the target layers in place and freeze everything else; rank 0 only freezes."""
    for layer in layers:
        for module in list(layer.modules()):
            for name, child in list(module.named_children()):
                if rank and name in targets and isinstance(child, nn.Linear):
                    setattr(module, name, LoraLinear(child, rank, alpha).to(child.weight.device))
    for layer in layers:
        for name, parameter in layer.named_parameters():
            parameter.requires_grad_(_is_adapter(name))


def lora_state(model: nn.Module) -> dict[str, Tensor]:
    """The adapters' tensors by name."""
    return {name: p.detach() for name, p in model.named_parameters() if _is_adapter(name)}


def load_lora(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put tensors of `lora_state` back; KeyError or RuntimeError where they do not fit."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if _is_adapter(name):
                parameter.copy_(tensors[name])


def fold_lora(model: nn.Module) -> None:
    """Put layers with the changes added in the adapters' place: quicker, for good.

    Weights that are shared with another model (see `own_copy`) stay as they are.
    """
    with torch.no_grad():
        for module in list(model.modules()):
            for name, child in list(module.named_children()):
                if isinstance(child, LoraLinear):
                    change = child.scale * child.up.float() @ child.down.float()
                    weight = child.base.weight
                    changed = (weight.float() + change).to(weight.dtype)
                    child.base.weight = nn.Parameter(changed, requires_grad=False)
                    setattr(module, name, child.base)


def without_lora(model: nn.Module) -> "Switched":
    """A context in which the adapters are off: the frozen teacher of eq. 8 at no extra memory."""
    return Switched([m for m in model.modules() if isinstance(m, LoraLinear)])


class Switched:
    """Turns adapters off while it is entered."""

    def __init__(self, layers: Sequence[LoraLinear]) -> None:
        self._layers = layers
        self._scales: list[float] = []

    def __enter__(self) -> None:
        self._scales = [layer.scale for layer in self._layers]
        for layer in self._layers:
            layer.scale = 0.0

    def __exit__(self, *_: Any) -> None:
        for layer, scale in zip(self._layers, self._scales, strict=True):
            layer.scale = scale


def trainable(model: nn.Module) -> Iterator[nn.Parameter]:
    """Parameters that learn."""
    return (parameter for parameter in model.parameters() if parameter.requires_grad)


def _is_adapter(name: str) -> bool:
    return name.endswith((".down", ".up"))
