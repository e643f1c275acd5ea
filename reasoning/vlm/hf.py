"""Vision-language models of transformers, with their cache in the caller's hands."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from PIL import Image as Pillow
from torch import Tensor

from reasoning.vlm.local.network import Network, Reading
from stream.frame import Image


class VisionLanguage(Protocol):
    """What answering needs of a vision-language model."""

    tokenizer: Any
    device: torch.device

    def begin(self, image: Image, messages: Sequence[Mapping[str, str]]) -> Reading:
        """Read a picture and a conversation of role and content; the picture is in the last one."""

    def feed(self, reading: Reading, ids: Sequence[int]) -> Tensor:
        """Read tokens on top of the cache; [n, D] last-layer states."""


class ProcessorModel:
    """A model with a processor: Qwen-VL, InternVL, LLaVA and the like."""

    def __init__(self, model: Any, processor: Any) -> None:
        self._model, self._processor = model.eval(), processor
        self._network = Network(model)
        self.tokenizer = processor.tokenizer
        self.device: torch.device = next(model.parameters()).device

    def begin(self, image: Image, messages: Sequence[Mapping[str, str]]) -> Reading:
        """See VisionLanguage."""
        told: list[dict[str, Any]] = [
            {"role": m["role"], "content": [{"type": "text", "text": m["content"]}]}
            for m in messages
        ]
        told[-1]["content"].insert(0, {"type": "image"})
        text = self._processor.apply_chat_template(told, tokenize=False, add_generation_prompt=True)
        inputs = self._processor(text=[text], images=[Pillow.fromarray(image)], return_tensors="pt")
        return self._network.read(dict(inputs))

    def feed(self, reading: Reading, ids: Sequence[int]) -> Tensor:
        """See VisionLanguage."""
        return self._network.states(reading, ids)
