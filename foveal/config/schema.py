"""Settings: frozen dataclasses whose defaults are the embedded profile.

A profile is a few overrides of the defaults; a YAML file is the same. Nothing is read from configs/
unless asked for, so an installed wheel runs without it. Types tell the bounds of numbers; files are
held to them in `foveal.config.reading`.
"""

from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BeforeValidator, with_config

from foveal.config.models import (
    EMBEDDED,
    DeviceName,
    MaskletSettings,
    PhraseSettings,
    ReasoningConfig,
)
from foveal.config.reading import STRICT, FilePath, nearest
from foveal.config.retrieval import RetrievalSettings
from foveal.config.standing import StandingSettings
from perception.tracking.settings import TrackerConfig
from reasoning.vlm.hub_name import HubName
from stream import extensions
from stream.bounds import Share, within
from stream.errors import ConfigError
from stream.keyframes.gates import KeyframeConfig

T = TypeVar("T")

BACKENDS = ("hibari", "espeak", "none")  # voices that are built in
ProfileName = Literal["embedded", "laptop", "edge", "server", "replay"]


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """What a session keeps alive."""

    # Masklets alive at once; the oldest unseen one gives way.
    max_tracks: Annotated[int, within(0, 256)] = 3
    seed_tracks: bool = True  # salient things of a keyframe become masklets
    min_seed_score: Share = 0.2  # name confidence, 0..1, that a seed needs


def _voice(name: object) -> object:
    if not (isinstance(name, str) and (name in BACKENDS or extensions.named("speakers", name))):
        known = (*BACKENDS, *sorted(extensions.known("speakers")))
        raise ValueError(f"expected one of {', '.join(known)}, got {name!r}{nearest(name, known)}")
    return name


@dataclass(frozen=True, slots=True)
class SpeechSettings:
    """Who speaks the answers."""

    backend: Annotated[str, BeforeValidator(_voice)] = "hibari"  # or NAME:REST of an extension


def _whisper(name: object) -> object:
    if name != EMBEDDED:
        scheme, _, rest = str(name).partition(":")
        if scheme != "hf" or not rest:
            raise ValueError(
                f"expected embedded or hf:MODEL (a whisper for CTranslate2: a hub id or a folder), "
                f"got {name!r}"
            )
        HubName.parse(rest)
    return name


@dataclass(frozen=True, slots=True)
class HearingSettings:
    """Who hears the wearer."""

    # embedded is whisper-tiny.en; or hf:MODEL, a hub id or a folder of a whisper for CTranslate2
    model: Annotated[str, BeforeValidator(_whisper)] = EMBEDDED


@dataclass(frozen=True, slots=True)
class RecordingSettings:
    """What recordings of live sessions, and the results of a replay, keep."""

    blur_faces: bool = False  # before any picture is stored


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """What is searched."""

    # The knowledge base: an index folder; None is wiki-vital's in the cache.
    path: FilePath | None = None
    # The wearer's own indexes: searched first and for every question, beside the knowledge base.
    paths: tuple[FilePath, ...] = ()


def _zone(name: object) -> object:
    try:
        ZoneInfo(str(name or "UTC"))
    except (ValueError, OSError, ZoneInfoNotFoundError) as error:
        raise ValueError(f"expected a time zone such as Europe/Berlin, got {name!r}") from error
    return name


@dataclass(frozen=True, slots=True)
class MemorySettings:
    """What is remembered of the wearer's sessions: nothing, unless there is a file."""

    path: FilePath | None = None  # what is seen and said is kept here; None: nothing is
    # Days after which what was remembered is forgotten; None: it stays until it is forgotten.
    retention_days: Annotated[float, within(0.01, 36_500)] | None = None
    # Whether words are read in pictures that nobody asks about: a second of work for each event.
    read_words: bool = False
    # What "yesterday" means; empty is the machine's own.
    zone: Annotated[str, BeforeValidator(_zone)] = ""


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """How the models run; raises ConfigError on a height that the backbone cannot take."""

    # Rows that a frame is resized to; a multiple of 32.
    backbone_height: Annotated[int, within(64, 2048)] = 256
    # Where every network runs; auto is CUDA where there is one, else the CPU.
    device: DeviceName = "auto"
    # Of the networks that bear it; auto is bfloat16 where the processor multiplies it.
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"

    def __post_init__(self) -> None:
        if self.backbone_height % 32:
            raise ConfigError(
                f"expected a backbone_height that is a multiple of 32, got {self.backbone_height}"
            )


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class Config:
    """Everything a session can be told; raises ConfigError where sections contradict."""

    keyframes: KeyframeConfig = field(default_factory=KeyframeConfig)
    tracker: TrackerConfig = field(default_factory=TrackerConfig)
    masklets: MaskletSettings = field(default_factory=MaskletSettings)
    phrases: PhraseSettings = field(default_factory=PhraseSettings)
    session: SessionConfig = field(default_factory=SessionConfig)
    reasoning: ReasoningConfig = field(default_factory=ReasoningConfig)
    speech: SpeechSettings = field(default_factory=SpeechSettings)
    hearing: HearingSettings = field(default_factory=HearingSettings)
    recording: RecordingSettings = field(default_factory=RecordingSettings)
    index: IndexSettings = field(default_factory=IndexSettings)
    retrieval: RetrievalSettings = field(default_factory=RetrievalSettings)
    memory: MemorySettings = field(default_factory=MemorySettings)
    standing: StandingSettings = field(default_factory=StandingSettings)
    models: ModelSettings = field(default_factory=ModelSettings)

    def __post_init__(self) -> None:
        if self.session.max_tracks > self.tracker.max_tracks:
            raise ConfigError(
                f"expected session.max_tracks of at most tracker.max_tracks "
                f"({self.tracker.max_tracks}), got {self.session.max_tracks}"
            )


def placed(config: Config) -> Config:
    """With what `models` says of devices and precision in the parts that leave theirs to `auto`."""
    models, vlm = config.models, config.reasoning.vlm
    masklets, phrases = config.masklets, config.phrases
    device, dtype = _told(vlm.device, models.device), _told(vlm.dtype, models.precision)
    return replace(
        config,
        masklets=replace(masklets, device=_told(masklets.device, models.device)),
        phrases=replace(phrases, device=_told(phrases.device, models.device)),
        reasoning=replace(config.reasoning, vlm=replace(vlm, device=device, dtype=dtype)),
    )


def _told(own: T, common: T) -> T:
    return common if own == "auto" else own


PROFILES: dict[ProfileName, dict[str, Any]] = {
    "embedded": {},
    "laptop": {
        "masklets": {"tracker": "edgetam:yonigozlan/EdgeTAM-hf", "image_size": 512},
        "reasoning": {"model": "hf:HuggingFaceTB/SmolVLM2-500M-Video-Instruct"},
        "hearing": {"model": "hf:Systran/faster-whisper-base"},
    },
    "edge": {
        "masklets": {"tracker": "edgetam:yonigozlan/EdgeTAM-hf"},
        "session": {"max_tracks": 8},
        "reasoning": {"model": "hf:Qwen/Qwen3-VL-2B-Instruct"},
        "hearing": {"model": "hf:Systran/faster-whisper-small"},
        "models": {"backbone_height": 352},
    },
    "server": {
        "masklets": {"tracker": "sam2:facebook/sam2.1-hiera-large"},
        "session": {"max_tracks": 16},
        "reasoning": {"model": "hf:Qwen/Qwen3-VL-8B-Instruct", "decode": {"k": 5}},
        "hearing": {"model": "hf:Systran/faster-whisper-small"},
        "models": {"backbone_height": 352},
    },
    "replay": {
        "keyframes": {"max_gap_ns": 5_000_000_000},
        "session": {"max_tracks": 5},
        "models": {"backbone_height": 352},
    },
}
