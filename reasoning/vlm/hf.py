"""Vision-language models of transformers, with their cache in the caller's hands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from PIL import Image as Pillow
from torch import Tensor
from transformers import DynamicCache

from stream.frame import Image


@dataclass(slots=True, eq=False)
class VlmState:
    """What a model has read; owned by the caller."""

    logits: Tensor  # [V] of the next token
    cache: Any = field(default_factory=DynamicCache)


class VisionLanguage(Protocol):
    """What answering needs of a vision-language model."""

    tokenizer: Any
    device: torch.device

    def begin(self, image: Image, messages: Sequence[Mapping[str, str]]) -> VlmState:
        """Read a picture and a conversation of role and content; the picture is in the last one."""

    def feed(self, reading: VlmState, ids: Sequence[int]) -> Tensor:
        """Read tokens on top of the cache; [n, D] last-layer states."""


class ProcessorModel:
    """A model with a processor: Qwen-VL, InternVL, LLaVA and the like."""

    def __init__(self, model: Any, processor: Any) -> None:
        self._model, self._processor = model.eval(), processor
        self.tokenizer = processor.tokenizer
        self.device: torch.device = next(model.parameters()).device

    def begin(self, image: Image, messages: Sequence[Mapping[str, str]]) -> VlmState:
        """See VisionLanguage."""
        told: list[dict[str, Any]] = [
            {"role": m["role"], "content": [{"type": "text", "text": m["content"]}]}
            for m in messages
        ]
        told[-1]["content"].insert(0, {"type": "image"})
        text = self._processor.apply_chat_template(told, tokenize=False, add_generation_prompt=True)
        inputs = self._processor(
            text=[text], images=[Pillow.fromarray(image)], return_tensors="pt"
        ).to(self.device)
        cache = DynamicCache()
        with torch.inference_mode():
            out = self._model(**inputs, past_key_values=cache, use_cache=True)
        return VlmState(out.logits[0, -1].float(), cache)

    def feed(self, reading: VlmState, ids: Sequence[int]) -> Tensor:
        """See VisionLanguage."""
        tensor = torch.tensor([list(ids)], device=self.device)
        with torch.inference_mode():
            out = self._model(
                input_ids=tensor,
                past_key_values=reading.cache,
                use_cache=True,
                output_hidden_states=True,
            )
        states: Tensor = out.hidden_states[-1][0]
        reading.logits = out.logits[0, -1].float()
        return states
