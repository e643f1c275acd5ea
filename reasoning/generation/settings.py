"""Settings of answering: plain values without torch, so that a configuration is read quickly."""

from dataclasses import dataclass
from typing import Literal

from stream.errors import ConfigError

SearchMode = Literal["model", "text", "image", "region"]


@dataclass(frozen=True, slots=True)
class PolicyConfig:
    """Gates of the choice."""

    search_cost: float = 0.05  # probability that a search must win by
    sight_gate: float = 0.45  # name probability from which sight alone names a thing
    search: SearchMode = "model"  # who decides; any other searches that way for every question
    text: bool = True  # whether searches with words may be made, and so on
    image: bool = True
    region: bool = True
    reword: bool = False  # search with words too where what was found by looks does not tell
    judge: float = 0.05  # weight of the trained model's reading: does the evidence tell, or not
    judge_actions: float = 0.15  # the same of what to do: name, look, search, give up

    @property
    def visual(self) -> bool:
        """Whether a picture or a part of one may be searched for."""
        return self.image or self.region


@dataclass(frozen=True, slots=True)
class DecodeConfig:
    """Limits of one answer."""

    max_tokens: int = 256  # of the model's own; injected evidence is not counted
    max_searches: int = 3
    k: int = 3  # entries of evidence per search
    max_query_chars: int = 200

    def __post_init__(self) -> None:
        if min(self.max_tokens, self.k) < 1 or self.max_searches < 0:
            raise ConfigError(
                "expected max_tokens >= 1, k >= 1 and max_searches >= 0, got "
                f"{self.max_tokens}, {self.k}, {self.max_searches}"
            )


@dataclass(frozen=True, slots=True)
class ChoiceConfig:
    """Gates of decoding."""

    search_gate: float = 0.5  # probability of <search> from which a search is made (CBDR's beta)
    max_query: int = 24  # tokens of a text query
    repeat: int = 4  # no stretch of so many tokens is written twice; 0 allows it
    text: bool = True  # may search with words
    image: bool = True  # … with the whole picture
    region: bool = True  # … with the last entity's region
    reserved: int = 17  # the vocabulary's first ids are its own special tokens

    def __post_init__(self) -> None:
        if not 0 <= self.search_gate <= 1 or self.max_query < 1 or self.repeat < 0:
            raise ConfigError(
                "expected a search_gate in 0..1, max_query >= 1 and repeat >= 0, got "
                f"{self.search_gate}, {self.max_query}, {self.repeat}"
            )


@dataclass(frozen=True, slots=True)
class GroundConfig:
    """When a mask is believed, and how it is finished."""

    presence_gate: float = 0.15  # below it the thing is taken to be out of view
    mask_level: float = 0.5  # probability from which a pixel belongs to the thing
    refine: bool = True  # follow the picture's own edges (GrabCut)
    looks: bool = True  # also at windows of half the size: what is small in the whole
    look_gate: float = 0.5  # presence from which a window's mask counts
    point: bool = True  # the pointer chooses among the things that perception found
    point_gate: float = 0.3  # expected overlap below which none of them is meant
    point_sure: float = 0.5  # the same from which no closer look is taken

    def __post_init__(self) -> None:
        gates = (self.presence_gate, self.look_gate, self.point_gate, self.point_sure)
        if not (all(0 <= gate <= 1 for gate in gates) and 0 < self.mask_level < 1):
            raise ConfigError(
                "expected presence_gate, look_gate, point_gate and point_sure in 0..1 and a "
                f"mask_level between 0 and 1, got {gates} and {self.mask_level}"
            )


@dataclass(frozen=True, slots=True)
class ChatConfig:
    """How a server is spoken to."""

    calls: Literal["tags", "tools"] = "tags"
    resume: Literal["message", "prefix"] = "message"  # prefix: vLLM's continue_final_message
    temperature: float = 0.0
