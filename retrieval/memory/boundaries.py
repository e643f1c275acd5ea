"""Where one event ends and the next begins: surprise finds boundaries, modularity moves them.

Online, in numbers alone: a keyframe is a boundary when the distance to the one before it is a
surprise (above the threshold that KDE-GMM adapts to the stream, arXiv 2512.06334), or when it has
drifted as far as that from the event's first keyframe. Then, as in EM-LLM (Fountas et al., arXiv
2407.09450, section 3.2), each boundary moves to where the two sides hang together best: the place
that makes modularity of the similarities between keyframes largest. No event is shorter than
`least_ns` or longer than `most_ns`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from stream.clock import NS_PER_S
from stream.errors import ConfigError
from stream.keyframes.gates import ThresholdConfig
from stream.keyframes.kde_gmm import ThresholdState, init_threshold, push

MAX_KEYFRAMES = 64  # of an event that refinement looks at; of more, the newest

Vector = npt.NDArray[np.float32]  # [D] of unit norm
Similarities = npt.NDArray[np.float64]  # [N, N]


@dataclass(frozen=True, slots=True)
class BoundaryConfig:
    """How long events are, and what surprises."""

    least_ns: int = 4 * NS_PER_S
    most_ns: int = 120 * NS_PER_S
    threshold: ThresholdConfig = field(default_factory=ThresholdConfig)

    def __post_init__(self) -> None:
        """Raises ConfigError unless 0 < 2 * least_ns <= most_ns."""
        if not 0 < 2 * self.least_ns <= self.most_ns:
            raise ConfigError(
                f"expected events of at least 1 ns and at most no less than twice that, got "
                f"{self.least_ns} to {self.most_ns}"
            )


@dataclass(frozen=True, slots=True)
class EventSpan:
    """An event that is over: its keyframes are those at start_ns and up to end_ns, exclusive."""

    start_ns: int
    end_ns: int


@dataclass(slots=True)
class BoundaryState:
    """The last two events' keyframes and the threshold; owned by the caller, bounded."""

    threshold: ThresholdState
    times: list[int] = field(default_factory=list)  # of the event under way
    vectors: list[Vector] = field(default_factory=list)
    before: tuple[list[int], list[Vector]] | None = None  # an event whose end may still move


def init_boundaries(config: BoundaryConfig) -> BoundaryState:
    """No keyframe yet."""
    return BoundaryState(init_threshold(config.threshold))


def step(
    state: BoundaryState, config: BoundaryConfig, at_ns: int, vector: Vector
) -> tuple[BoundaryState, list[EventSpan]]:
    """Take a keyframe; the events that are over now, oldest first.

    An event is over when the one after it is: until then their boundary may move. A keyframe that
    is no later than the last one is ignored. Where none comes for longer than an event may last,
    the event ends at its greatest length, and what no keyframe tells of belongs to none.
    """
    if state.times and at_ns <= state.times[-1]:
        return state, []
    done: list[EventSpan] = []
    if state.times and _ends(state, config, at_ns, vector):
        done = list(_close(state, config, at_ns))
    state.times.append(at_ns)
    state.vectors.append(vector)
    return state, done


def release(state: BoundaryState, config: BoundaryConfig) -> list[EventSpan]:
    """The event that waits for its end to be moved, as it is: for who asks before the next ends."""
    if state.before is None:
        return []
    start_ns = state.before[0][0]
    end_ns = state.times[0] if state.times else state.before[0][-1]
    state.before = None
    return [_span(config, start_ns, end_ns)]


def finish(state: BoundaryState, config: BoundaryConfig, end_ns: int) -> list[EventSpan]:
    """What is left at the end of a session: one event or two; the state is empty then."""
    done = list(_close(state, config, end_ns)) if state.times else []
    if state.before is not None:
        done.append(_span(config, state.before[0][0], end_ns))
    state.before = None
    return done


def distance(one: Vector, other: Vector) -> float:
    """0 for the same direction, 1 for the opposite."""
    return float(min(1.0, max(0.0, (1.0 - float(one @ other)) / 2)))


def _ends(state: BoundaryState, config: BoundaryConfig, at_ns: int, vector: Vector) -> bool:
    """Whether the event under way ends before this keyframe."""
    jump = distance(state.vectors[-1], vector)
    drift = distance(state.vectors[0], vector)
    tau = state.threshold.tau
    push(state.threshold, jump, config.threshold)
    length = at_ns - state.times[0]
    if length >= config.most_ns:
        return True
    return length >= config.least_ns and (jump > tau or drift > tau)


def _close(state: BoundaryState, config: BoundaryConfig, end_ns: int) -> Iterator[EventSpan]:
    """The event under way waits for the one after it; the one that waited is over."""
    times, vectors = state.times, state.vectors
    if state.before is not None:
        old_times, old_vectors = state.before
        first = _refined(old_times, old_vectors, times, vectors, config, end_ns)
        joined_times, joined_vectors = old_times + times, old_vectors + vectors
        times, vectors = joined_times[first:], joined_vectors[first:]
        yield _span(config, old_times[0], times[0])
    state.before = (times, vectors)
    state.times, state.vectors = [], []


def _span(config: BoundaryConfig, start_ns: int, end_ns: int) -> EventSpan:
    return EventSpan(start_ns, max(start_ns, min(end_ns, start_ns + config.most_ns)))


def _refined(
    old_times: list[int],
    old_vectors: list[Vector],
    times: list[int],
    vectors: list[Vector],
    config: BoundaryConfig,
    end_ns: int,
) -> int:
    """Which keyframe of both events begins the second: where modularity is largest."""
    all_times = old_times + times
    skipped = max(0, len(old_times) - MAX_KEYFRAMES // 2)
    last = min(len(all_times), len(old_times) + MAX_KEYFRAMES // 2)
    found = modularities(similarities((old_vectors + vectors)[skipped:last]))
    best, at = -np.inf, len(old_times)
    for cut in range(1, last - skipped):
        first = cut + skipped
        end = min(end_ns, times[0] + config.most_ns)
        lengths = all_times[first] - all_times[0], end - all_times[first]
        fits = all(config.least_ns <= length <= config.most_ns for length in lengths)
        # Of equals the one that surprise found stays.
        better = found[cut] > best + 1e-9 or (first == len(old_times) and found[cut] >= best - 1e-9)
        if fits and better:
            best, at = float(found[cut]), first
    return at


def similarities(vectors: Sequence[Vector]) -> Similarities:
    """[N, N] of N unit vectors: cosines above 0, none of a keyframe with itself."""
    rows = np.asarray(np.stack(vectors), np.float64)
    found = np.maximum(rows @ rows.T, 0.0)
    np.fill_diagonal(found, 0.0)
    return found


def modularities(weights: Similarities) -> npt.NDArray[np.float64]:
    """[N]: modularity (Newman & Girvan, 2004) of keyframes before i against those from i on.

    Entry 0, where all are on one side, is 0.
    """
    total = float(weights.sum())
    if total <= 0:
        return np.zeros(len(weights))
    degree = weights.sum(axis=1)
    inside = np.zeros(len(weights))
    sums = np.zeros((len(weights) + 1, len(weights) + 1))
    sums[1:, 1:] = weights.cumsum(axis=0).cumsum(axis=1)
    before = np.concatenate(([0.0], degree.cumsum()))
    for cut in range(1, len(weights)):
        left = sums[cut, cut]
        right = sums[-1, -1] - sums[cut, -1] - sums[-1, cut] + left
        of_left, of_right = before[cut], total - before[cut]
        inside[cut] = (left + right) / total - (of_left**2 + of_right**2) / total**2
    return inside
