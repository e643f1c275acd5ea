"""A language model's key-value cache in the caller's hands: tokens are read once, on top of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import DynamicCache

from reasoning.generation.tokens import unbracket
from reasoning.vlm.causal_lm import CausalLm, cache_name


@dataclass(slots=True, eq=False)
class LmState:
    """What a model has read: its cache, and the scores of the next token."""

    cache: Any = field(default_factory=DynamicCache)
    length: int = 0  # tokens read
    logits: torch.Tensor | None = None  # [V] after the last token


def extend(lm: CausalLm, state: LmState, ids: Sequence[int]) -> torch.Tensor:
    """Read tokens on top of the cache; returns log-probabilities [len(ids), V] after each."""
    with torch.inference_mode():
        held = {cache_name(lm.model): state.cache}
        out = lm.model(torch.tensor([list(ids)]), use_cache=True, **held)
        state.length += len(ids)
        logits: torch.Tensor = out.logits[0].float()
        state.logits = logits[-1]
        return logits.log_softmax(-1)


def choose(state: LmState) -> int:
    """The most probable next token."""
    if state.logits is None:
        raise ValueError("expected a read prompt before choosing a token")
    return int(state.logits.argmax())


def chat_prompt(lm: CausalLm, system: str, user: str) -> list[int]:
    """Ids of a chat prompt that waits for the assistant's words.

    The user's words can hold no special token of the template: they lose their brackets.
    """
    asked = unbracket(user)
    messages = [{"role": "system", "content": system}, {"role": "user", "content": asked}]
    text = lm.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    ids: list[int] = lm.tokenizer(text, add_special_tokens=False).input_ids
    return ids
