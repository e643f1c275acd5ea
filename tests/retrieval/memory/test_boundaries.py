"""Events begin where the view changes, are of bounded length, and share no keyframe."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.encoders.text import unit_rows
from retrieval.memory.boundaries import (
    MAX_KEYFRAMES,
    BoundaryConfig,
    EventSpan,
    Vector,
    distance,
    finish,
    init_boundaries,
    modularities,
    similarities,
    step,
)
from stream.clock import NS_PER_S
from stream.errors import ConfigError

S = NS_PER_S
RNG = np.random.default_rng(0)
SCENES = unit_rows(RNG.normal(size=(20, 64)).astype(np.float32))


def view(scene: int, noise: float = 0.02) -> Vector:
    moved = SCENES[scene : scene + 1] + noise * RNG.normal(size=(1, 64)).astype(np.float32)
    return np.asarray(unit_rows(moved)[0], np.float32)


def spans(times: list[int], vectors: list[Vector], config: BoundaryConfig) -> list[EventSpan]:
    state = init_boundaries(config)
    found = list[EventSpan]()
    for at, vector in zip(times, vectors, strict=True):
        state, done = step(state, config, at, vector)
        found += done
        assert len(state.times) <= 121 and len(state.before[0] if state.before else []) <= 130
    return found + finish(state, config, times[-1] + S)


def test_scenes_are_events() -> None:
    lengths = [20, 35, 12, 50, 8]
    vectors = [view(scene) for scene, length in enumerate(lengths) for _ in range(length)]
    found = spans([n * S for n in range(len(vectors))], vectors, BoundaryConfig())
    starts = np.cumsum([0, *lengths[:-1]]) * S
    assert [span.start_ns for span in found] == starts.tolist()
    assert found[-1].end_ns == len(vectors) * S


def test_slow_drift_ends_an_event_though_no_step_surprises() -> None:
    one, other = SCENES[0], SCENES[1]
    mixes = [np.cos(a) * one + np.sin(a) * other for a in np.linspace(0, np.pi / 2, 100)]
    vectors = list(unit_rows(np.array(mixes, np.float32)))
    found = spans([n * S for n in range(100)], vectors, BoundaryConfig())
    assert 2 <= len(found) <= 6


def test_a_boundary_moves_to_where_both_sides_hang_together() -> None:
    """A cut within the least length is passed over at first; refinement finds it."""
    scenes = [0] * 10 + [1] * 2 + [2] * 20
    vectors = [view(scene) for scene in scenes]
    vectors[10:12] = [unit_rows(SCENES[2:3] + 0.5 * SCENES[1:2])[0]] * 2
    found = spans([n * S for n in range(32)], vectors, BoundaryConfig())
    assert [span.start_ns for span in found] == [0, 10 * S]


def test_nothing_that_changes_is_cut_at_the_greatest_length() -> None:
    found = spans([n * S for n in range(300)], [SCENES[0]] * 300, BoundaryConfig())
    assert len(found) in (3, 4)
    assert max(span.end_ns - span.start_ns for span in found) <= 120 * S


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(1, 200), st.integers(0, 19)), min_size=1, max_size=60),
    st.integers(1, 10),
)
def test_events_are_in_order_bounded_and_have_each_keyframe_once(
    keyframes: list[tuple[int, int]], least: int
) -> None:
    config = BoundaryConfig(least_ns=least * S, most_ns=30 * S)
    times = np.cumsum([gap * S // 4 for gap, _ in keyframes]).tolist()
    found = spans(times, [SCENES[scene] for _, scene in keyframes], config)
    for span, after in pairwise(found):
        assert span.end_ns <= after.start_ns
    assert all(span.end_ns - span.start_ns <= config.most_ns for span in found)
    short = [span for span in found[:-1] if span.end_ns - span.start_ns < config.least_ns]
    assert not short
    for at in times:
        holding = [span for span in found if span.start_ns <= at < span.end_ns]
        assert len(holding) == 1 or at == times[-1]


def test_a_clock_that_goes_back_is_ignored() -> None:
    config = BoundaryConfig()
    state = init_boundaries(config)
    for at in (5 * S, 3 * S, 5 * S):
        state, done = step(state, config, at, SCENES[0])
        assert not done
    assert state.times == [5 * S]
    assert finish(init_boundaries(config), config, 9) == []


def test_modularity_is_the_textbooks() -> None:
    weights = similarities([view(scene, 0.3) for scene in (0, 0, 1, 1, 1, 2)])
    found = modularities(weights)
    total = weights.sum()
    for cut in range(1, len(weights)):
        wanted = 0.0
        for i in range(len(weights)):
            for j in range(len(weights)):
                if (i < cut) == (j < cut):
                    wanted += weights[i, j] - weights[i].sum() * weights[j].sum() / total
        assert found[cut] == pytest.approx(wanted / total, abs=1e-9)
    assert not modularities(np.zeros((3, 3))).any()


def test_distances_and_settings() -> None:
    assert distance(SCENES[0], SCENES[0]) == pytest.approx(0.0, abs=1e-6)
    assert distance(SCENES[0], -SCENES[0]) == pytest.approx(1.0)
    with pytest.raises(ConfigError):
        BoundaryConfig(least_ns=10, most_ns=15)
    assert MAX_KEYFRAMES == 64
