"""Settings: frozen dataclasses whose defaults are the embedded profile.

A profile is a few overrides of the defaults; a YAML file is the same. Nothing is read from configs/
unless asked for, so an installed wheel runs without it. Reading and checking: `foveal.config.load`.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from foveal.config.models import MaskletSettings, ReasoningConfig
from perception.tracking.settings import TrackerConfig
from stream.errors import ConfigError
from stream.keyframes.selector import KeyframeConfig

ProfileName = Literal["embedded", "edge", "server", "replay"]


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """What a session keeps alive."""

    max_tracks: int = 3  # masklets alive at once; the oldest unseen one gives way
    seed_tracks: bool = True  # salient things of a keyframe become masklets
    min_seed_score: float = 0.2  # name confidence, 0..1, that a seed needs


@dataclass(frozen=True, slots=True)
class SpeechSettings:
    """Who speaks the answers."""

    backend: Literal["hibari", "espeak", "none"] = "hibari"


@dataclass(frozen=True, slots=True)
class RecordingSettings:
    """What recordings of live sessions, and the results of a replay, keep."""

    blur_faces: bool = False  # before any picture is stored


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """What is searched."""

    path: Path | None = None  # index folder; None is wiki-vital's in the cache


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """How the models run; raises ConfigError on a height that the backbone cannot take."""

    backbone_height: int = 256  # rows that a frame is resized to; a multiple of 32

    def __post_init__(self) -> None:
        if self.backbone_height % 32:
            raise ConfigError(
                f"expected a backbone_height that is a multiple of 32, got {self.backbone_height}"
            )


@dataclass(frozen=True, slots=True)
class Config:
    """Everything a session can be told; raises ConfigError where sections contradict."""

    keyframes: KeyframeConfig = field(default_factory=KeyframeConfig)
    tracker: TrackerConfig = field(default_factory=TrackerConfig)
    masklets: MaskletSettings = field(default_factory=MaskletSettings)
    session: SessionConfig = field(default_factory=SessionConfig)
    reasoning: ReasoningConfig = field(default_factory=ReasoningConfig)
    speech: SpeechSettings = field(default_factory=SpeechSettings)
    recording: RecordingSettings = field(default_factory=RecordingSettings)
    index: IndexSettings = field(default_factory=IndexSettings)
    models: ModelSettings = field(default_factory=ModelSettings)

    def __post_init__(self) -> None:
        if self.session.max_tracks > self.tracker.max_tracks:
            raise ConfigError(
                f"expected session.max_tracks of at most tracker.max_tracks "
                f"({self.tracker.max_tracks}), got {self.session.max_tracks}"
            )


PROFILES: dict[ProfileName, dict[str, Any]] = {
    "embedded": {},
    "edge": {
        "masklets": {"tracker": "edgetam:yonigozlan/EdgeTAM-hf"},
        "session": {"max_tracks": 8},
        "models": {"backbone_height": 352},
    },
    "server": {
        "masklets": {"tracker": "sam2:facebook/sam2.1-hiera-large"},
        "session": {"max_tracks": 16},
        "reasoning": {"decode": {"k": 5}},
        "models": {"backbone_height": 352},
    },
    "replay": {
        "keyframes": {"max_gap_ns": 5_000_000_000},
        "session": {"max_tracks": 5},
        "models": {"backbone_height": 352},
    },
}

SHARE = (0.0, 1.0)
_THRESHOLD: dict[str, tuple[float, float]] = {
    "prior": SHARE,
    "cap": SHARE,
    "floor": SHARE,
    "half_life": (1, 10_000_000),
    "refit_every": (1, 1_000_000),
    "min_samples": (1, 1_000_000),
    "duplicate": SHARE,
}
# Least and greatest value of every number, by its key; a test finds the ones left out.
BOUNDS: dict[str, tuple[float, float]] = {
    **{f"keyframes.scene.{name}": bounds for name, bounds in _THRESHOLD.items()},
    **{f"keyframes.slow.{name}": bounds for name, bounds in _THRESHOLD.items()},
    "keyframes.min_gap_ns": (1, 3_600_000_000_000),
    "keyframes.max_gap_ns": (1, 3_600_000_000_000),
    "keyframes.drift_gap_ns": (1, 3_600_000_000_000),
    "keyframes.min_novelty": SHARE,
    "tracker.recent": (1, 64),
    "tracker.renew_every": (0, 100_000),
    "tracker.max_tracks": (1, 256),
    "tracker.min_area": SHARE,
    "tracker.min_score": SHARE,
    "tracker.return_score": SHARE,
    "tracker.return_surety": SHARE,
    "tracker.colour_rate": SHARE,
    "tracker.spaced": (0, 64),
    "tracker.max_gap": (1, 10_000),
    "tracker.match.reach": (1, 64),
    "tracker.match.ring": (1, 64),
    "tracker.match.max_cells": (16, 100_000),
    "tracker.match.max_queries": (16, 100_000),
    "tracker.match.spread": (0.01, 100.0),
    "tracker.match.min_spread": (0.1, 100.0),
    "tracker.match.first_weight": (0.0, 100.0),
    "tracker.match.temperature": (0.001, 10.0),
    "session.max_tracks": (0, 256),
    "session.min_seed_score": SHARE,
    "reasoning.decode.max_tokens": (1, 4096),
    "reasoning.decode.max_searches": (0, 16),
    "reasoning.decode.k": (1, 100),
    "reasoning.decode.max_query_chars": (1, 10_000),
    "reasoning.chat.temperature": (0.0, 2.0),
    "reasoning.policy.search_cost": SHARE,
    "reasoning.policy.sight_gate": SHARE,
    "reasoning.policy.judge": (0, 10),
    "reasoning.policy.judge_actions": (0, 10),
    "reasoning.pixsearch.choice.search_gate": SHARE,
    "reasoning.pixsearch.choice.max_query": (1, 256),
    "reasoning.pixsearch.choice.repeat": (0, 64),
    "reasoning.pixsearch.choice.reserved": (0, 1000),
    "reasoning.pixsearch.ground.presence_gate": SHARE,
    "reasoning.pixsearch.ground.look_gate": SHARE,
    "reasoning.pixsearch.ground.point_gate": SHARE,
    "reasoning.pixsearch.ground.point_sure": SHARE,
    "reasoning.pixsearch.ground.mask_level": (0.01, 0.99),
    "models.backbone_height": (64, 2048),
}
