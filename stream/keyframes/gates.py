"""Gates of keyframes: plain values without numpy, so that a configuration is read quickly."""

from dataclasses import dataclass, field
from typing import Annotated

from stream.bounds import Share, check_bounds, within
from stream.clock import NS_PER_S
from stream.errors import ConfigError

GapNs = Annotated[int, within(1, 3_600_000_000_000)]


@dataclass(frozen=True, slots=True)
class ThresholdConfig:
    """How one threshold adapts; raises ConfigError on values out of range."""

    prior: Share = 0.12  # distance threshold until `min_samples` have been seen
    cap: Share = 0.25  # no learned threshold above this distance
    floor: Share = 0.05  # none below it: a moving camera reaches that in any scene
    half_life: Annotated[int, within(1, 10_000_000)] = 3000  # samples after which one counts half
    # Samples; grows to MAX_REFIT_FACTOR times as the histogram settles.
    refit_every: Annotated[int, within(1, 1_000_000)] = 64
    min_samples: Annotated[int, within(1, 1_000_000)] = 64
    duplicate: Share = 2e-3  # distances up to this are repeated frames and are not learned from

    def __post_init__(self) -> None:
        check_bounds(self)
        if not 0 < self.floor <= self.prior <= self.cap:
            raise ConfigError(
                f"expected 0 < floor <= prior <= cap, got {self.floor}, {self.prior}, {self.cap}"
            )


@dataclass(frozen=True, slots=True)
class KeyframeConfig:
    """When to pick a keyframe; times in ns of stream time."""

    scene: ThresholdConfig = field(default_factory=ThresholdConfig)
    slow: ThresholdConfig = field(
        default_factory=lambda: ThresholdConfig(prior=0.3, cap=0.35, floor=0.2, refit_every=128)
    )
    min_gap_ns: GapNs = 400_000_000  # between scenes
    drift_gap_ns: GapNs = NS_PER_S  # from any keyframe to one for drift
    max_gap_ns: GapNs = 10 * NS_PER_S  # a keyframe at least this often
    min_novelty: Share = 0.05  # raw distance below which a contrast peak is only noise

    def __post_init__(self) -> None:
        check_bounds(self)
        if not 0 < self.min_gap_ns <= self.max_gap_ns:
            raise ConfigError(
                f"expected 0 < min_gap_ns <= max_gap_ns, got {self.min_gap_ns}, {self.max_gap_ns}"
            )
