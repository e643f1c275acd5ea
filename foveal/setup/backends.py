"""Large models by the name that `reasoning.model` gives them.

hf:MODEL[@REVISION]   a vision-language model of the hub, or of a folder, in this process
openai:URL#MODEL      a chat model behind an OpenAI-compatible server
sa2va:FOLDER          a downloaded Sa2VA checkpoint
NAME:REST             a model of another installed package (docs/library.md)

Their packages take seconds to import: each is imported where it is asked for.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from foveal.config.models import SCHEMES, ReasoningConfig, check_model
from perception.device import resolve_device
from perception.scene.reader import SceneReader
from reasoning.generation.protocol import SegmentingLMM
from reasoning.vlm.endpoint import Endpoint
from reasoning.vlm.hub_name import HubName
from stream import extensions
from stream.errors import ConfigError


@lru_cache(maxsize=1)  # sessions of one server share it
def load_backend(config: ReasoningConfig, reader: SceneReader) -> SegmentingLMM[Any]:
    """The model that is configured; on the accelerator in bfloat16 where there is one.

    Raises ConfigError for an unknown name, AssetError for a checkpoint that does not fit.
    """
    name = config.model
    check_model(name)
    scheme, _, rest = name.partition(":")
    if extensions.named("models", name):
        added: SegmentingLMM[Any] = extensions.load("models", scheme)(rest, reader)
        return added
    if scheme == "openai":
        from reasoning.segmenting.box_to_mask import SceneGrounder
        from reasoning.vlm.openai_client import ChatClient
        from reasoning.vlm.openai_vlm import ChatVlm

        return ChatVlm(ChatClient(Endpoint.parse(name)), SceneGrounder(reader), config.chat)
    if scheme == "hf":
        from reasoning.segmenting.box_to_mask import SceneGrounder
        from reasoning.vlm.local.model import VlmLMM
        from reasoning.vlm.local.open import open_model

        opened = open_model(HubName.parse(rest), config.vlm)
        return VlmLMM(opened, SceneGrounder(reader), config.vlm)
    if scheme == "sa2va":
        from reasoning.segmenting.sa2va import load_sa2va

        device = resolve_device(config.vlm.device)
        dtype = torch.float32 if device.name == "cpu" else device.dtype
        return load_sa2va(Path(rest).expanduser(), reader, device.name, dtype)
    raise ConfigError(f"expected a large model ({', '.join(SCHEMES)}), got {name!r}")
