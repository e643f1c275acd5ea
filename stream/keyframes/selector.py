"""Online keyframes: the first frame, scene changes, slow drift, and one now and then.

Each frame is decided on as it comes, without look-ahead. Two KDE-GMM thresholds adapt to the
stream: one on the frame-to-frame contrast (cuts, turns of the head), one on the drift from the
segment's anchor (slow change that no two neighbouring frames show).
"""

from collections import deque
from dataclasses import dataclass, field

from stream.clock import NS_PER_S
from stream.frame import Frame, Keyframe, KeyframeReason
from stream.keyframes.descriptor import Floats, FrameDescriptor, describe, distance, drift
from stream.keyframes.gates import KeyframeConfig
from stream.keyframes.kde_gmm import ThresholdState, init_threshold, push

RECENT = 4  # distances whose maximum is the level of motion
LEVEL_WEIGHT = 1.5
ANCHOR_RATE = 0.2  # moving average that makes the anchor while a segment settles
SETTLE_NS = NS_PER_S // 3  # then the anchor stays, or slow change would drag it along
FLAT_NS = NS_PER_S  # nothing to see for so long is a scene; for less, a flash or a lost picture

Decision = tuple[KeyframeReason | None, float]  # why it is a keyframe (or None), signal value


@dataclass(slots=True)
class KeyframeState:
    """All that is remembered of a stream; fixed size. `step` changes it in place."""

    scene: ThresholdState
    slow: ThresholdState
    previous: FrameDescriptor | None = None
    anchor: Floats | None = None  # layout of the segment's start, averaged
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    keyframe_ns: int = 0  # time of the last keyframe
    scene_ns: int = 0  # time of the last one that began a scene
    frames: int = 0
    flat_ns: int | None = None  # since when there is nothing to see


class KeyframeSelector:
    """Decides frame by frame; the state belongs to the caller."""

    def __init__(self, config: KeyframeConfig | None = None) -> None:
        self.config = config or KeyframeConfig()

    def init_state(self) -> KeyframeState:
        """A stream of which nothing has been seen."""
        return KeyframeState(init_threshold(self.config.scene), init_threshold(self.config.slow))

    def step(self, state: KeyframeState, frame: Frame) -> tuple[KeyframeState, Keyframe | None]:
        """Take one frame; the keyframe it is, or None."""
        seen, novelty, away = self.measure(state, frame)
        reason, score = self.decide(state, frame.pts_ns, seen, novelty, away)
        return state, Keyframe(frame, score, reason) if reason is not None else None

    def measure(self, state: KeyframeState, frame: Frame) -> tuple[FrameDescriptor, float, float]:
        """The frame's descriptor, its distance from the last frame's and from the anchor's."""
        seen = describe(frame.image)
        if state.previous is None or state.anchor is None:
            return seen, 0.0, 0.0
        return seen, distance(state.previous, seen), drift(state.anchor, seen.layout)

    def decide(
        self, state: KeyframeState, pts_ns: int, seen: FrameDescriptor, novelty: float, away: float
    ) -> Decision:
        """Learn the two signals and say whether one of them calls for a keyframe."""
        config = self.config
        if _passes(state, pts_ns, seen):
            return None, 0.0
        first = state.previous is None
        state.previous = seen
        if first:
            return _start(state, pts_ns, seen, "first", 0.0)
        gap_ns = pts_ns - state.keyframe_ns
        moved = novelty > config.scene.duplicate
        contrast = contrast_of(novelty, state.recent)
        # Thresholds decide before they learn, so that an event does not judge itself.
        is_scene = contrast >= state.scene.tau and novelty >= config.min_novelty
        is_slow = away >= state.slow.tau
        if moved:
            push(state.scene, contrast, config.scene)
            state.recent.append(novelty)
        push(state.slow, away, config.slow)
        if is_scene and pts_ns - state.scene_ns >= config.min_gap_ns:
            return _start(state, pts_ns, seen, "scene", contrast)
        if is_slow and gap_ns >= config.drift_gap_ns:
            return _start(state, pts_ns, seen, "drift", away)
        if gap_ns >= config.max_gap_ns:
            return _start(state, pts_ns, seen, "interval", novelty)
        if gap_ns < SETTLE_NS and moved and state.anchor is not None:
            state.anchor = state.anchor + ANCHOR_RATE * (seen.layout - state.anchor)
        return None, 0.0


def _passes(state: KeyframeState, pts_ns: int, seen: FrameDescriptor) -> bool:
    """Whether this is a flat picture (white of a flash, black of a shutter) that may soon be over.

    It is no keyframe, and nothing is learned of it: what follows is compared with what was before.
    """
    state.frames += 1
    if not seen.flat or state.previous is None:
        state.flat_ns = None
        return False
    if state.flat_ns is None:
        state.flat_ns = pts_ns
    return pts_ns - state.flat_ns < FLAT_NS


def _start(
    state: KeyframeState, pts_ns: int, seen: FrameDescriptor, reason: KeyframeReason, score: float
) -> Decision:
    """Start a new segment at this frame."""
    state.anchor = seen.layout
    state.keyframe_ns = pts_ns
    if reason in ("first", "scene"):
        state.scene_ns = pts_ns
    return reason, score


def contrast_of(novelty: float, recent: deque[float]) -> float:
    """d^2 / (d + 1.5 max of the last distances): small while everything moves, d after a rest."""
    if not recent:
        return novelty
    return novelty * novelty / (novelty + LEVEL_WEIGHT * max(recent) + 1e-9)
