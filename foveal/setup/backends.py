"""Large models by the name that `reasoning.model` gives them.

openai:URL#MODEL      a chat model behind an OpenAI-compatible server
sa2va:FOLDER          a downloaded Sa2VA checkpoint
NAME:REST             a model of another installed package (docs/library.md)

Their packages take seconds to import: each is imported where it is asked for.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from foveal.config.models import SCHEMES, check_model
from perception.scene.reader import SceneReader
from reasoning.generation.config import ChatConfig
from reasoning.generation.protocol import SegmentingLMM
from reasoning.vlm.endpoint import Endpoint
from stream import extensions
from stream.errors import ConfigError


@lru_cache(maxsize=1)  # sessions of one server share it
def load_backend(name: str, reader: SceneReader, chat: ChatConfig) -> SegmentingLMM[Any]:
    """The model of a name; on the accelerator in bfloat16 where there is one.

    Raises ConfigError for an unknown name, AssetError for a checkpoint that does not fit.
    """
    check_model(name)
    scheme, _, rest = name.partition(":")
    if extensions.named("models", name):
        added: SegmentingLMM[Any] = extensions.load("models", scheme)(rest, reader)
        return added
    if scheme == "openai":
        from reasoning.segmenting.box_to_mask import SceneGrounder
        from reasoning.vlm.openai_client import ChatClient
        from reasoning.vlm.openai_vlm import ChatVlm

        return ChatVlm(ChatClient(Endpoint.parse(name)), SceneGrounder(reader), chat)
    on_gpu = torch.cuda.is_available()
    device, precision = ("cuda", torch.bfloat16) if on_gpu else ("cpu", torch.float32)
    if scheme == "sa2va":
        from reasoning.segmenting.sa2va import load_sa2va

        return load_sa2va(Path(rest).expanduser(), reader, device, precision)
    raise ConfigError(f"expected a large model ({', '.join(SCHEMES)}), got {name!r}")
