"""Low-rank adapters (Hu et al., 2021) in the upper layers of a frozen language model, by PEFT."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

# PEFT takes seconds to import: it is imported where adapters are made or used.

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def add_lora(lm: Any, first_layer: int, rank: int, alpha: int) -> None:
    """Put adapters into the layers from `first_layer` on, in place; only they learn, in float32."""
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        target_modules=list(TARGETS),
        layers_to_transform=list(range(first_layer, len(lm.model.layers))),
        layers_pattern="layers",
    )
    inject_adapter_in_model(config, lm)
    for parameter in lm.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def merge_lora(lm: Any) -> None:
    """Put layers with the change added in the adapters' place: quicker, for good.

    Weights that are shared with another model (see `own_copy`) stay as they are.
    """
    from peft.tuners.lora import LoraLayer

    for module in list(lm.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, LoraLayer):
                base: Any = child.get_base_layer()
                base.weight = nn.Parameter(base.weight.detach().clone(), requires_grad=False)
                child.merge()
                setattr(module, name, base)


@contextmanager
def without_lora(lm: Any) -> Iterator[None]:
    """The adapters are off inside: the frozen teacher of eq. 8 at no extra memory."""
    from peft.tuners.lora import LoraLayer

    layers = [module for module in lm.modules() if isinstance(module, LoraLayer)]
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)
