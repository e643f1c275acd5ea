"""Online keyframes: the first frame, scene changes, slow drift, and one now and then.

Each frame is decided on as it comes, without look-ahead. Two KDE-GMM thresholds adapt to the
stream: one on the frame-to-frame contrast (cuts, turns of the head), one on the drift from the
segment's anchor (slow change that no two neighbouring frames show).
"""

from collections import deque
from dataclasses import dataclass, field, replace

import numpy as np

from stream.clock import NS_PER_S
from stream.errors import ConfigError
from stream.frame import Frame, Keyframe, KeyframeReason
from stream.kde_gmm import ThresholdConfig, ThresholdState, init_threshold, push
from stream.signal import Thumbnail, distance, drift, thumbnail

RECENT = 8  # distances whose median is the level of motion
ANCHOR_RATE = 0.2  # moving average that makes the anchor while a segment settles
SETTLE_NS = NS_PER_S // 3  # then the anchor stays, or slow change would drag it along


@dataclass(frozen=True, slots=True)
class KeyframeConfig:
    """When to pick a keyframe; times in ns of stream time."""

    scene: ThresholdConfig = field(default_factory=ThresholdConfig)
    slow: ThresholdConfig = field(
        default_factory=lambda: ThresholdConfig(prior=0.3, cap=0.5, floor=0.12)
    )
    min_gap_ns: int = 400_000_000
    max_gap_ns: int = 10 * NS_PER_S  # a keyframe at least this often
    min_novelty: float = 0.06  # raw distance below which a contrast peak is only noise

    def __post_init__(self) -> None:
        if not 0 < self.min_gap_ns <= self.max_gap_ns:
            raise ConfigError(
                f"expected 0 < min_gap_ns <= max_gap_ns, got {self.min_gap_ns}, {self.max_gap_ns}"
            )


@dataclass(slots=True)
class KeyframeState:
    """All that is remembered of a stream; fixed size."""

    scene: ThresholdState
    slow: ThresholdState
    previous: Thumbnail | None = None
    anchor: Thumbnail | None = None
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    keyframe_ns: int = 0  # time of the last keyframe
    frames: int = 0


class KeyframeSelector:
    """Decides frame by frame; the state belongs to the caller."""

    def __init__(self, config: KeyframeConfig | None = None) -> None:
        self.config = config or KeyframeConfig()

    def init_state(self) -> KeyframeState:
        """A stream of which nothing has been seen."""
        return KeyframeState(init_threshold(self.config.scene), init_threshold(self.config.slow))

    def step(self, state: KeyframeState, frame: Frame) -> tuple[KeyframeState, Keyframe | None]:
        """Take one frame; the keyframe it is, or None."""
        small = thumbnail(frame.image)
        previous, anchor = state.previous, state.anchor
        state = replace(state, previous=small, frames=state.frames + 1)
        if previous is None or anchor is None:
            return _cut(state, small, frame, 0.0, "first")
        novelty = distance(previous, small)
        reason, score = self._decide(state, frame, small, anchor, novelty)
        if reason is not None:
            return _cut(state, small, frame, score, reason)
        settling = frame.pts_ns - state.keyframe_ns < SETTLE_NS
        if settling and novelty > self.config.scene.duplicate:
            moved = (1 - ANCHOR_RATE) * anchor + ANCHOR_RATE * small
            state.anchor = np.asarray(moved, dtype=np.float32)
        return state, None

    def _decide(
        self,
        state: KeyframeState,
        frame: Frame,
        small: Thumbnail,
        anchor: Thumbnail,
        novelty: float,
    ) -> tuple[KeyframeReason | None, float]:
        """Learn the two signals and say whether one of them calls for a keyframe."""
        config = self.config
        gap_ns = frame.pts_ns - state.keyframe_ns
        contrast = _contrast(novelty, state.recent)
        away = drift(anchor, small)
        # Thresholds decide before they learn, so that an event does not judge itself.
        is_scene = contrast >= state.scene.tau and novelty >= config.min_novelty
        is_slow = away >= state.slow.tau and gap_ns >= SETTLE_NS
        push(state.scene, contrast if novelty > config.scene.duplicate else 0.0, config.scene)
        push(state.slow, away, config.slow)
        if novelty > config.scene.duplicate:
            state.recent.append(novelty)
        if gap_ns < config.min_gap_ns:
            return None, 0.0
        if is_scene:
            return "scene", contrast
        if is_slow:
            return "drift", away
        if gap_ns >= config.max_gap_ns:
            return "interval", novelty
        return None, 0.0


def _cut(
    state: KeyframeState, small: Thumbnail, frame: Frame, novelty: float, reason: KeyframeReason
) -> tuple[KeyframeState, Keyframe]:
    """Start a new segment at this frame."""
    state = replace(state, anchor=small, keyframe_ns=frame.pts_ns)
    return state, Keyframe(frame, novelty, reason)


def _contrast(novelty: float, recent: deque[float]) -> float:
    """d^2 / (d + median of the last distances): small while everything moves, d after a rest."""
    if not recent:
        return novelty
    level = sorted(recent)[len(recent) // 2]
    return novelty * novelty / (novelty + level + 1e-9)
