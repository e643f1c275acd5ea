"""A network of transformers with its cache in the caller's hands.

Positions are counted here, never in the module: models with positions in three directions
(Qwen-VL's, arXiv 2409.12191, section 2.1) keep the offset behind pictures in the module otherwise,
where another session's answer would find it.
"""

import copy
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from reasoning.vlm.causal_lm import cache_name

MAX_CONTEXT = 8192  # tokens, of models that do not tell
SHARED = (DynamicLayer, DynamicSlidingWindowLayer)  # layers that replace their tensors, never write


@dataclass(slots=True, eq=False)
class Reading:
    """What a network has read; owned by the caller."""

    cache: Any
    logits: Tensor  # [V] float32 of the next token
    position: int  # of the next token
    axes: int  # directions in which positions are counted; 0 where the cache counts words

    def fork(self) -> "Reading":
        """Another that goes on from here: keys and values are shared until either reads on.

        Layers that write into their tensors (of linear attention) are copied.
        """
        cache = copy.copy(self.cache)
        cache.layers = [
            copy.copy(layer) if type(layer) in SHARED else copy.deepcopy(layer)
            for layer in self.cache.layers
        ]
        return Reading(cache, self.logits, self.position, self.axes)


class Network:
    """Reads pictures and words; nothing of a reading stays in it, so threads may share it."""

    def __init__(self, model: Any) -> None:
        self._model = model.eval()
        self._takes = frozenset(inspect.signature(model.forward).parameters)
        self._cache = cache_name(model)
        self._counts = getattr(model.base_model, "get_rope_index", None)
        told = model.config.get_text_config()
        self.context: int = getattr(told, "max_position_embeddings", None) or MAX_CONTEXT  # tokens
        self.device: torch.device = model.get_input_embeddings().weight.device

    def read(self, inputs: Mapping[str, Tensor]) -> Reading:
        """A processor's output, or `inputs_embeds` [1, L, D], in one pass on an empty cache."""
        cache = DynamicCache(config=self._model.config)
        given = {name: value.to(self.device) for name, value in inputs.items()}
        length = given["input_ids" if "input_ids" in given else "inputs_embeds"].shape[1]
        positions = self._positions(given)
        told = {
            name: self._as_weights(value)
            for name, value in given.items()
            if name in self._takes and name != "attention_mask"
        }
        logits = _last(self._run(cache, positions, **told))
        if positions is None:
            return Reading(cache, logits, length, 0)
        return Reading(cache, logits, int(positions.max()) + 1, positions.shape[0])

    def feed(self, reading: Reading, ids: Sequence[int]) -> None:
        """Read words on top of what was read."""
        if ids:
            self._read_words(reading, ids)

    def states(self, reading: Reading, ids: Sequence[int]) -> Tensor:
        """`feed`, of one word at least; [n, D] states of the last layer, of the weights' type."""
        out = self._read_words(reading, ids, output_hidden_states=True)
        states: Tensor = out.hidden_states[-1][0]
        return states

    def _read_words(self, reading: Reading, ids: Sequence[int], **more: Any) -> Any:
        words = torch.tensor([list(ids)], device=self.device)
        positions = None
        if reading.axes:
            line = torch.arange(reading.position, reading.position + len(ids), device=self.device)
            positions = line.expand(reading.axes, 1, -1)
        out = self._run(reading.cache, positions, input_ids=words, **more)
        reading.logits = _last(out)
        reading.position += len(ids)
        return out

    def _positions(self, given: Mapping[str, Tensor]) -> Tensor | None:
        """[3, 1, L] of a first pass; None for models that count words one by one."""
        if self._counts is None:
            return None
        takes = inspect.signature(self._counts).parameters
        told = {name: value for name, value in given.items() if name in takes}
        positions: Tensor = self._counts(**told)[0]
        return positions

    def _as_weights(self, value: Tensor) -> Tensor:
        return value.to(self._model.dtype) if value.is_floating_point() else value

    def _run(self, cache: Any, positions: Tensor | None, **told: Any) -> Any:
        """The model's output; its logits may be those of the last word alone."""
        if positions is not None:
            told["position_ids"] = positions
        if "logits_to_keep" in self._takes:
            told["logits_to_keep"] = 1
        with torch.inference_mode():
            return self._model(**told, **{self._cache: cache}, use_cache=True)


def _last(out: Any) -> Tensor:
    """[V] float32 logits after the last word."""
    logits: Tensor = out.logits[0, -1]
    return logits.float()
