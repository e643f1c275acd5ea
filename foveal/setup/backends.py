"""Large models by the name that `reasoning.model` gives them.

hf:MODEL[@REVISION]    a vision-language model of the hub, or of a folder, in this process
openai:URL#MODEL       a chat model behind an OpenAI-compatible server
sa2va:MODEL[@REVISION] a Sa2VA checkpoint of the hub, or of a folder
samtok:MODEL[@REV…]    a SAMTok model of the hub, or of a folder
NAME:REST              a model of another installed package (docs/library.md)

Their packages take seconds to import: each is imported where it is asked for.
"""

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from foveal.assets.hub import at_commit
from foveal.config.models import SCHEMES, ReasoningConfig, check_model
from foveal.setup.retrieval.web import outgoing_log
from perception.device import resolve_device
from perception.scene.reader import SceneReader
from reasoning.generation.config import ChatConfig
from reasoning.generation.protocol import SegmentingLMM
from reasoning.vlm.hub_name import HubName
from reasoning.vlm.wire.endpoint import Endpoint
from stream import extensions
from stream.errors import ConfigError

if TYPE_CHECKING:
    from reasoning.vlm.tagged_stream import Grounder


@lru_cache(maxsize=1)  # sessions of one server share it
def load_backend(
    config: ReasoningConfig, reader: SceneReader, tracker: object = None
) -> SegmentingLMM[Any]:
    """The model that is configured; on the accelerator in bfloat16 where there is one.

    `tracker`: the session's; where it is SAM 2 or EdgeTAM it also cuts out what a model points at.
    Raises ConfigError for an unknown name, AssetError for a checkpoint that does not fit.
    """
    name = config.model
    check_model(name)
    scheme, _, rest = name.partition(":")
    if extensions.named("models", name):
        added: SegmentingLMM[Any] = extensions.load("models", scheme)(rest, reader)
        return added
    if scheme == "openai":
        grounder = load_grounder(reader, tracker)
        if config.mask_tokenizer is not None:
            grounder = load_codes(config, grounder, reader)
        return load_chat(name, grounder, config.chat)
    if scheme == "hf":
        from reasoning.vlm.local.model import VlmLMM
        from reasoning.vlm.local.open import open_model

        opened = open_model(at_commit(HubName.parse(rest)), config.vlm)
        return VlmLMM(opened, load_grounder(reader, tracker), config.vlm)
    if scheme == "sa2va":
        from reasoning.segmenting.sa2va import load_sa2va

        return load_sa2va(at_commit(HubName.parse(rest)), reader, config.vlm)
    if scheme == "samtok":
        from reasoning.segmenting.samtok import load_samtok

        grounder = load_grounder(reader, tracker)
        named = at_commit(HubName.parse(rest))
        return load_samtok(named, reader, grounder, config.vlm, config.mask_tokenizer)
    raise ConfigError(f"expected a large model ({', '.join(SCHEMES)}), got {name!r}")


def load_chat(name: str, grounder: "Grounder", chat: ChatConfig) -> SegmentingLMM[Any]:
    """A chat model behind a server: nothing is sent yet."""
    from reasoning.vlm.openai_client import ChatClient
    from reasoning.vlm.openai_vlm import ChatVlm, WarmChatVlm
    from reasoning.vlm.sglang.session_vlm import SessionVlm

    endpoint = replace(
        Endpoint.parse(name),
        timeout_s=chat.timeout_s,
        retry_s=chat.retry_s,
        api_key_env=chat.api_key_env,
        headers=chat.headers,
        extra_body=chat.extra_body,
    )
    kind: type[ChatVlm] = WarmChatVlm if chat.warm_up else ChatVlm
    if chat.video_session == "sglang":
        kind = SessionVlm
    return kind(ChatClient(endpoint, outgoing_log()), grounder, chat)


def load_codes(config: ReasoningConfig, inner: "Grounder", reader: SceneReader) -> "Grounder":
    """The masks of a model that writes them as codes, on a server."""
    from reasoning.segmenting.mask_tokenizer import load_mask_tokenizer
    from reasoning.segmenting.samtok import CodedMasks

    assert config.mask_tokenizer is not None
    place = resolve_device(config.vlm.device, config.vlm.dtype)
    return CodedMasks(load_mask_tokenizer(config.mask_tokenizer, place), inner, reader)


def load_grounder(reader: SceneReader, tracker: object = None) -> "Grounder":
    """Who makes masks of places: SAM 2 or EdgeTAM where one tracks, else the scene's cutter."""
    from perception.sam2_tracking.tracker import Sam2Tracker
    from reasoning.segmenting.box_to_mask import Sam2Grounder, SceneGrounder

    if isinstance(tracker, Sam2Tracker):
        return Sam2Grounder(tracker, reader)
    return SceneGrounder(reader)
