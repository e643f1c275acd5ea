"""Settings of answering: plain values without torch, so that a configuration is read quickly."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from stream.bounds import Share, check_bounds, within

ServerName = Literal[
    "auto", "vllm", "ollama", "llamacpp", "lmstudio", "openai", "sglang", "transformers"
]
SearchMode = Literal["model", "text", "image", "region"]


@dataclass(frozen=True, slots=True)
class PolicyConfig:
    """Gates of the choice."""

    search_cost: Share = 0.05  # probability that a search must win by
    sight_gate: Share = 0.45  # name probability from which sight alone names a thing
    search: SearchMode = "model"  # who decides; any other searches that way for every question
    text: bool = True  # whether searches with words may be made, and so on
    image: bool = True
    region: bool = True
    reword: bool = False  # search with words too where what was found by looks does not tell

    @property
    def visual(self) -> bool:
        """Whether a picture or a part of one may be searched for."""
        return self.image or self.region


@dataclass(frozen=True, slots=True)
class DecodeConfig:
    """Limits of one answer."""

    # Of the model's own; injected evidence is not counted.
    max_tokens: Annotated[int, within(1, 4096)] = 256
    max_searches: Annotated[int, within(0, 16)] = 3
    k: Annotated[int, within(1, 100)] = 3  # entries of evidence per search
    max_query_chars: Annotated[int, within(1, 10_000)] = 200
    verify: bool = True  # claims of large models are checked against evidence before they are said

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True, slots=True)
class LogitsProcessorConfig:
    """Gates of decoding."""

    search_gate: Share = 0.5  # probability of <search> from which a search is made (CBDR's beta)
    max_query: Annotated[int, within(1, 256)] = 24  # tokens of a text query
    # No stretch of so many tokens is written twice; 0 allows it.
    repeat: Annotated[int, within(0, 64)] = 4
    text: bool = True  # may search with words
    image: bool = True  # … with the whole picture
    region: bool = True  # … with the last entity's region
    # The vocabulary's first ids are its own special tokens.
    reserved: Annotated[int, within(0, 1000)] = 17

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True, slots=True)
class GroundConfig:
    """When a mask is believed."""

    closer_looks: bool = True  # also at windows of half the size: what is small in the whole
    gate: Share = 0.3  # expected overlap below which nothing in view is meant
    sure: Share = 0.5  # the same from which no closer look is taken

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True, slots=True)
class ChatConfig:
    """How a chat server is spoken to (docs/chat_servers.md); `auto` goes by the server's kind."""

    server: ServerName = "auto"  # by its host or its usual port
    calls: Literal["auto", "tags", "tools"] = "auto"  # how a search is asked for
    resume: Literal["auto", "message", "prefix", "prefill"] = "auto"  # how an answer goes on
    grounding: str = "auto"  # how places are written: by the model's name, or a family's name
    constrain: bool = False  # hold the model to the tags by the server's grammar, if it has one
    warm_up: bool = False  # have the server read each keyframe before anything is asked
    # Keyframes are sent once, into a session that the server keeps; goes over `warm_up`.
    video_session: Literal["off", "sglang"] = "off"
    video_tokens: Annotated[int, within(1024, 1_000_000)] = 16_384  # of a session, then a new one
    temperature: Annotated[float, within(0.0, 2.0)] | None = None  # None: the server's own
    max_tokens: Annotated[int, within(1, 100_000)] = 400  # of one request
    stop: tuple[str, ...] = ()
    max_pixels: Annotated[int, within(10_000, 100_000_000)] = 1_310_720  # of a picture as sent
    jpeg_quality: Annotated[int, within(10, 100)] = 90
    timeout_s: Annotated[float, within(0.1, 3600.0)] = 60.0  # between one word and the next
    retry_s: Annotated[float, within(0.0, 600.0)] = 15.0  # waited for a busy server, in all
    api_key_env: str = "OPENAI_API_KEY"  # the variable that holds the key
    headers: dict[str, str] = field(default_factory=dict, hash=False)
    extra_body: dict[str, Any] = field(default_factory=dict, hash=False)  # of every request

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True, slots=True)
class VlmConfig:
    """How a vision-language model runs in this process."""

    frames: Annotated[int, within(1, 4)] = 2  # newest keyframes that it looks at
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    # auto: `models.precision`, and where that is auto, bfloat16 where the processor multiplies it.
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    quantise: Literal["none", "8bit", "4bit"] = "none"  # needs bitsandbytes
    device_map: str | None = None  # accelerate's way to spread a model, such as auto; over `device`
    max_pixels: Annotated[int, within(28 * 28, 4096 * 4096)] = 768 * 768  # of a picture it reads
    max_query: Annotated[int, within(1, 256)] = 24  # tokens of a search
    grounding: str = "auto"  # how places are written: by the model's type, or one of FORMATS

    def __post_init__(self) -> None:
        check_bounds(self)
