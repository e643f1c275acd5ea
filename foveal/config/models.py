"""Settings of answering and tracking by the names that configurations give them; without torch."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from foveal.config.reading import FilePath
from reasoning.generation.config import (
    ChatConfig,
    DecodeConfig,
    GroundConfig,
    LogitsProcessorConfig,
    PolicyConfig,
    VlmConfig,
)
from reasoning.vlm.coordinates import format_of
from reasoning.vlm.hub_name import HubName
from reasoning.vlm.wire.endpoint import Endpoint
from retrieval.qdrant.place import QdrantConfig
from retrieval.web.config import WebConfig
from stream import extensions
from stream.bounds import Share, within
from stream.errors import ConfigError

EMBEDDED = "embedded"
KINDS = ("sam2", "edgetam", "sam3")
SAM3_PATCH = 14  # pixels
BUILT_IN = ("rules", "pixsearch")
FORMER = {"composed": "rules"}  # names that were in use
SCHEMES = ("hf", "openai", "sa2va", "samtok")
Precision = Literal["auto", "float32", "mixed", "bfloat16", "float16"]
DeviceName = Literal["auto", "cpu", "cuda", "mps"]


@dataclass(frozen=True, slots=True)
class PixSearchConfig:
    """Gates of the trained model, and which weights it has."""

    logits_processor: LogitsProcessorConfig = field(default_factory=LogitsProcessorConfig)
    ground: GroundConfig = field(default_factory=GroundConfig)
    weights: FilePath | None = None  # None is the file that is shipped


def check_model(name: str) -> None:
    """Raises ConfigError for a name that no model has; nothing is loaded."""
    scheme, _, rest = name.partition(":")
    if name in BUILT_IN or extensions.named("models", name):
        return
    if name in FORMER:
        raise ConfigError(f"expected {FORMER[name]!r}, as the model {name!r} is called now")
    if scheme not in SCHEMES or not rest:
        added = sorted(extensions.known("models"))
        large = ("hf:MODEL", "openai:URL#MODEL", "sa2va:MODEL", "samtok:MODEL")
        known = ", ".join((*BUILT_IN, *large, *added))
        raise ConfigError(f"expected a model of {known}; got {name!r}")
    if scheme == "openai":
        Endpoint.parse(name)
    if scheme in ("hf", "sa2va", "samtok"):
        HubName.parse(rest)


@dataclass(frozen=True, slots=True)
class ReasoningConfig:
    """Limits and gates of answering."""

    model: str = "rules"  # or pixsearch, openai:URL#MODEL … (foveal/setup/backends.py)
    decode: DecodeConfig = field(default_factory=DecodeConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)  # of rules
    pixsearch: PixSearchConfig = field(default_factory=PixSearchConfig)
    chat: ChatConfig = field(default_factory=ChatConfig)  # of openai:
    vlm: VlmConfig = field(default_factory=VlmConfig)  # of hf:, sa2va: and samtok:
    # File of a SAMTok mask tokenizer: of samtok: the one beside the model unless given, of openai:
    # for a model that writes masks as codes.
    mask_tokenizer: FilePath | None = None
    # Of a live session: so long without a sign of life, and an answer is given up.
    patience_s: Annotated[float, within(0.1, 3600.0)] = 20.0
    searcher: str | None = None  # NAME:REST of an extension; None searches the index
    qdrant: QdrantConfig = field(default_factory=QdrantConfig)  # asked beside the index
    web: WebConfig = field(default_factory=WebConfig)  # asked where the index knows little

    def __post_init__(self) -> None:
        check_model(self.model)
        for grounding in (self.chat.grounding, self.vlm.grounding):
            format_of(self.model, grounding)
        if self.searcher is not None and not extensions.named("searchers", self.searcher):
            added = ", ".join(sorted(extensions.known("searchers"))) or "none is installed"
            raise ConfigError(
                f"expected a searcher of an installed extension ({added}), got {self.searcher!r}"
            )


@dataclass(frozen=True, slots=True)
class PhraseSettings:
    """Who finds what phrases name in a picture; all but `segmenter` concern SAM 3 only.

    Raises ConfigError for a segmenter that is none of the two.
    """

    segmenter: str = EMBEDDED  # or sam3:ID; ID: a hub id or a folder
    image_size: Annotated[int, within(14, 4032)] | None = None  # px; None: as trained (1008)
    precision: Literal["auto", "float32", "mixed"] = "auto"  # mixed: bfloat16 products
    device: DeviceName = "auto"  # auto is that of models.device
    min_score: Share = 0.5  # 0..1, that an instance needs

    def __post_init__(self) -> None:
        kind, _, name = self.segmenter.partition(":")
        if self.segmenter != EMBEDDED and (kind != "sam3" or not name):
            raise ConfigError(
                "expected a phrase segmenter embedded or sam3:ID (ID: a hub id or a folder), "
                f"got {self.segmenter!r}"
            )
        if self.image_size is not None and self.image_size % SAM3_PATCH:
            raise ConfigError(
                f"expected an image_size that is a multiple of {SAM3_PATCH}, got {self.image_size}"
            )


@dataclass(frozen=True, slots=True)
class MaskletSettings:
    """The tracker of a session; all but `tracker` concern SAM 2 and EdgeTAM only.

    Raises ConfigError for a tracker that is none of the four.
    """

    # or sam2:ID, edgetam:ID, sam3:ID; ID: a hub id, a folder, of SAM 2 also the package's .pt
    tracker: str = EMBEDDED
    image_size: int | None = None  # px; None is what the model was trained at (1024)
    precision: Precision = "auto"
    device: DeviceName = "auto"  # auto is that of models.device
    policy: Literal["recent", "samurai", "dam4sam"] = "recent"  # what enters memory
    reidentify: bool = True  # seek what left by its look
    compile: Literal["off", "default", "graphs"] = "off"
    # Holes in a mask of up to so many logit cells (256 x 256 at 1024 px) are filled; 0: none.
    fill_hole_area: Annotated[int, within(0, 65_536)] = 8
    # Frames of a clip whose length is known; it matters below 16. A stream's end is not known.
    clip_frames: Annotated[int, within(1, 1_000_000)] | None = None
    resize: Literal["pillow", "bicubic", "bilinear"] = "pillow"  # docs/sam2.md

    def __post_init__(self) -> None:
        kind, _, name = self.tracker.partition(":")
        built_in = self.tracker == EMBEDDED or (kind in KINDS and name)
        if not (built_in or extensions.named("trackers", self.tracker)):
            added = "".join(f", {one}" for one in sorted(extensions.known("trackers")))
            raise ConfigError(
                "expected a tracker embedded, sam2:ID, edgetam:ID or sam3:ID (ID: a hub id, a "
                f"folder or a .pt of the sam2 package){added}; got {self.tracker!r}"
            )
        step = SAM3_PATCH if kind == "sam3" else 64
        if self.image_size is not None and (self.image_size < step or self.image_size % step):
            raise ConfigError(
                f"expected an image_size that is a multiple of {step}, got {self.image_size}"
            )
