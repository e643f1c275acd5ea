"""Finding a sequence of scenes ("I opened the fridge, then poured milk, then …") among events.

Each scene may be scored by another modality (words, meaning, look): what makes their scores
comparable is the rank, S_i(t) = -log(share of the events that score at least as high), which is
minus the log of an empirical p-value. Over events t and scenes i, in order,

    P_i(t) = S_i(t) - w + max(0, max over t' < t, t - t' <= G of E_{i-1}(t') - l (t - t'))
    E_i(t) = max(P_i(t), E_{i-1}(t))

A scene whose evidence is worth less than w and its gap is left out, as a local alignment leaves
out what does not match (Smith & Waterman, 1981); a price for leaving it out would place it at any
event in between, for S is never below 0. The inner maximum is that of a window over E + l t', kept
by a monotone deque (Lemire, 2006), so n scenes and T events take O(n T).
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stream.clock import NS_PER_S
from stream.errors import ConfigError, QueryError

Floats = npt.NDArray[np.float64]

MAX_SCENES = 16


@dataclass(frozen=True, slots=True)
class SequenceConfig:
    """What a scene is worth placing for, and what a gap costs, in nats."""

    gap_per_s: float = 0.005  # l: 200 s more between two scenes are one time in e as likely
    max_gap_ns: int = 1800 * NS_PER_S  # G, from one placed scene to the next
    worth: float = 3.0  # w: what one event in twenty has by chance places no scene

    def __post_init__(self) -> None:
        """Raises ConfigError for what would make the search mean nothing."""
        costs = (self.gap_per_s, self.worth)
        if not all(np.isfinite(cost) and cost >= 0 for cost in costs) or self.max_gap_ns < 0:
            raise ConfigError(f"expected costs and a gap of at least 0, got {self}")


@dataclass(frozen=True, slots=True)
class Alignment:
    """Where each scene is: the index of its event, or None for one that was left out."""

    score: float  # nats above what `SequenceConfig.worth` asks of each placed scene
    places: tuple[int | None, ...]


class _Placed(NamedTuple):
    """A scene at an event, linked to the one before it."""

    scene: int
    event: int
    before: "_Placed | None"


class _Best(NamedTuple):
    """The best that ends with an event: its score, and the score with the time added."""

    score: float
    raised: float
    time_ns: int
    placed: _Placed


@dataclass(slots=True)
class SequenceState:
    """All that is remembered of the events: the last `max_gap_ns` of them. `step` changes it."""

    scenes: int
    windows: list[deque[_Best]] = field(default_factory=list)
    first_ns: int = 0
    last_ns: int | None = None
    events: int = 0


def rank_evidence(scores: npt.ArrayLike) -> Floats:
    """[n, T] scores of any scale, higher is better -> [n, T] S in nats, 0 for the worst.

    Equal scores count as equally improbable, so words that no event holds are evidence of
    nothing. A score that is no number is the worst. Raises QueryError for another shape.
    """
    rows = np.asarray(scores, np.float64)
    if rows.ndim != 2:
        raise QueryError(f"expected scores of shape [scenes, events], got {rows.shape}")
    rows = np.where(np.isnan(rows), -np.inf, rows)
    evidence = np.zeros_like(rows)
    count = rows.shape[1]
    for row, out in zip(rows, evidence, strict=True):
        at_least = count - np.searchsorted(np.sort(row), row, side="left")
        out[:] = -np.log(at_least / max(1, count))
    return evidence


def init_sequence(scenes: int) -> SequenceState:
    """Nothing seen yet; raises QueryError unless 1 to `MAX_SCENES` scenes are asked for."""
    if not 1 <= scenes <= MAX_SCENES:
        raise QueryError(f"expected 1 to {MAX_SCENES} scenes in a sequence, got {scenes}")
    return SequenceState(scenes, [deque() for _ in range(scenes - 1)])


def step(
    state: SequenceState, config: SequenceConfig, time_ns: int, evidence: Sequence[float]
) -> tuple[SequenceState, Alignment]:
    """Take one event and what it has of each scene; the best sequence that ends with it.

    Raises QueryError for a time before the last event's, or evidence that is not one finite
    number a scene; the state is as it was then.
    """
    if len(evidence) != state.scenes or not np.all(np.isfinite(evidence)):
        raise QueryError(f"expected {state.scenes} finite numbers of evidence, got {evidence}")
    if state.last_ns is None:
        state.first_ns = time_ns
    elif time_ns < state.last_ns:
        raise QueryError(f"expected events in order of time, got {time_ns} after {state.last_ns}")
    best = _place_scenes(state, config, time_ns, evidence)
    state.last_ns = time_ns
    state.events += 1
    places: list[int | None] = [None] * state.scenes
    link: _Placed | None = best.placed
    while link is not None:
        places[link.scene] = link.event
        link = link.before
    return state, Alignment(best.score, tuple(places))


def _place_scenes(
    state: SequenceState, config: SequenceConfig, time_ns: int, evidence: Sequence[float]
) -> _Best:
    """E of the last scene at this event; the windows take this event in."""
    raise_by = config.gap_per_s * (time_ns - state.first_ns) / NS_PER_S
    best: _Best | None = None  # E_{i-1}(t)
    for scene in range(state.scenes):
        score, before = 0.0, None  # all scenes before are left out
        if scene:
            window = state.windows[scene - 1]
            while window and time_ns - window[0].time_ns > config.max_gap_ns:
                window.popleft()
            if window and window[0].raised - raise_by > score:
                score, before = window[0].raised - raise_by, window[0].placed
            assert best is not None
            _enter(window, best)
        score += evidence[scene] - config.worth
        if best is None or score > best.score:
            placed = _Placed(scene, state.events, before)
            best = _Best(score, score + raise_by, time_ns, placed)
    assert best is not None
    return best


def _enter(window: deque[_Best], best: _Best) -> None:
    """An older one that is no better will never be the maximum again."""
    while window and window[-1].raised <= best.raised:
        window.pop()
    window.append(best)


def align(
    evidence: npt.ArrayLike,
    times_ns: npt.ArrayLike,
    config: SequenceConfig | None = None,
    k: int = 1,
) -> list[Alignment]:
    """The k best sequences that share no event, best first (the later of equals first).

    evidence [n, T] in nats, from `rank_evidence`; times_ns [T], never falling. Raises QueryError
    for other shapes, times or numbers.
    """
    rows, times = np.asarray(evidence, np.float64), np.asarray(times_ns, np.int64)
    if rows.ndim != 2 or times.shape != rows.shape[1:]:
        raise QueryError(
            f"expected evidence [scenes, events] and a time an event, "
            f"got {rows.shape} and {times.shape}"
        )
    config = config or SequenceConfig()
    state = init_sequence(len(rows))
    found: list[Alignment] = []
    for time_ns, column in zip(times.tolist(), rows.T.tolist(), strict=True):
        state, best = step(state, config, time_ns, column)
        found.append(best)
    return _apart(found, k)


def _apart(found: Sequence[Alignment], k: int) -> list[Alignment]:
    order = sorted(range(len(found)), key=lambda at: (-found[at].score, -at))
    taken: set[int] = set()
    kept: list[Alignment] = []
    for at in order:
        if len(kept) >= k:
            break
        places = {place for place in found[at].places if place is not None}
        if places and taken.isdisjoint(places):
            taken |= places
            kept.append(found[at])
    return kept
