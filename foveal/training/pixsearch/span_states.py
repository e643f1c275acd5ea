"""What the frozen language model makes of names: span states, cached for training the heads."""

import copy
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache

from reasoning.pixsearch.lora import lora_state
from reasoning.pixsearch.modeling import PixSearchModel
from reasoning.vlm.causal_lm import CausalLm

# What stands before a name; each gives it other states.
CONTEXTS = (
    "\nQuestion: Which thing is this?\nAnswer: The",
    "\nQuestion: Where is it?\nAnswer: On the left is the",
)
BATCH = 48


@dataclass(frozen=True, slots=True, eq=False)
class NameStates:
    """Mean states and embeddings of names: [contexts, names, D] float32 each."""

    names: tuple[str, ...]
    states: Tensor
    embeddings: Tensor

    def index(self) -> dict[str, int]:
        """Row of each name."""
        return {name: row for row, name in enumerate(self.names)}


def name_states(
    model: PixSearchModel,
    words: CausalLm,
    names: Sequence[str],
    contexts: Sequence[str] = CONTEXTS,
    cache: Path | None = None,
) -> NameStates:
    """Read every name after every context.

    A file at `cache` of the same names and adapters is read instead.
    """
    adapters = _digest(model)
    if cache is not None and cache.is_file():
        kept = torch.load(cache, weights_only=True)
        same = kept["names"] == list(names) and kept.get("adapters") == adapters
        if same and len(kept["states"]) == len(contexts):
            return NameStates(tuple(names), kept["states"], kept["embeddings"])
    parts = [_after(model, words, names, context) for context in contexts]
    states, embeddings = (torch.stack(rows) for rows in zip(*parts, strict=True))
    if cache is not None:
        table = {"names": list(names), "adapters": adapters}
        torch.save({**table, "states": states, "embeddings": embeddings}, cache)
    return NameStates(tuple(names), states, embeddings)


def _digest(model: PixSearchModel) -> str:
    """Of the adapters' numbers: other ones read other states."""
    digest = hashlib.sha256()
    for _, tensor in sorted(lora_state(model.lm).items()):
        digest.update(tensor.cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _after(
    model: PixSearchModel, words: CausalLm, names: Sequence[str], context: str
) -> tuple[Tensor, Tensor]:
    """[names, D] mean states and embeddings of the names after one context."""
    with torch.inference_mode():
        prefix = model.embed(torch.tensor([words.encode(context)]))
        read = DynamicCache()
        model.states(prefix, cache=read)
        ids = [words.encode(f" {name}") for name in names]
        order = np.argsort([len(row) for row in ids], kind="stable")  # batches of like lengths
        states = torch.zeros(len(ids), prefix.shape[-1])
        embeddings = torch.zeros_like(states)
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            longest = max(len(ids[n]) for n in chosen)
            padded = torch.tensor([ids[n] + [0] * (longest - len(ids[n])) for n in chosen])
            own = model.embed(padded)
            cache = copy.deepcopy(read)
            cache.batch_repeat_interleave(len(chosen))
            after = model.states(own, cache=cache)
            for row, n in enumerate(chosen):
                states[n] = after[row, : len(ids[n])].mean(0)
                embeddings[n] = own[row, : len(ids[n])].mean(0)
    return states.clone(), embeddings.clone()
