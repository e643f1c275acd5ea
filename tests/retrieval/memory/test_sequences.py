"""The sequence search against brute force, and what it must not depend on."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.memory.sequences import (
    Alignment,
    SequenceConfig,
    align,
    init_sequence,
    rank_evidence,
    step,
)
from stream.clock import NS_PER_S
from stream.errors import ConfigError, QueryError

CONFIG = SequenceConfig(gap_per_s=0.1, max_gap_ns=12 * NS_PER_S, worth=1.0)


@st.composite
def searches(draw: st.DrawFn) -> tuple[list[list[float]], list[int], SequenceConfig]:
    scenes, events = draw(st.integers(1, 4)), draw(st.integers(1, 6))
    number = st.floats(0, 5, allow_nan=False)
    row = st.lists(number, min_size=events, max_size=events)
    evidence = draw(st.lists(row, min_size=scenes, max_size=scenes))
    gaps = draw(st.lists(st.integers(0, 8), min_size=events, max_size=events))
    times = [NS_PER_S * int(total) for total in np.cumsum(gaps)]
    cost = st.sampled_from([0.0, 0.05, 0.5, 2.0])
    config = SequenceConfig(
        draw(cost), NS_PER_S * draw(st.sampled_from([0, 3, 10, 100])), draw(cost)
    )
    return evidence, times, config


def score(
    evidence: Sequence[Sequence[float]],
    times: Sequence[int],
    config: SequenceConfig,
    places: Sequence[int | None],
) -> float | None:
    """What a placing is worth by definition; None for one that is not allowed."""
    total, before = 0.0, None
    for row, place in zip(evidence, places, strict=True):
        if place is None:
            continue
        total += row[place] - config.worth
        if before is not None:
            gap = times[place] - times[before]
            if place <= before or gap > config.max_gap_ns:
                return None
            total -= config.gap_per_s * gap / NS_PER_S
        before = place
    return None if before is None else total


@settings(max_examples=60)
@given(searches())
def test_the_best_is_the_best_of_all_placings(
    search: tuple[list[list[float]], list[int], SequenceConfig],
) -> None:
    evidence, times, config = search
    options = [None, *range(len(times))]
    every = itertools.product(options, repeat=len(evidence))
    scores = [score(evidence, times, config, places) for places in every]
    best = max(one for one in scores if one is not None)
    (found,) = align(evidence, times, config)
    assert found.score == pytest.approx(best, abs=1e-9)
    assert score(evidence, times, config, found.places) == pytest.approx(found.score, abs=1e-9)


@settings(max_examples=30)
@given(searches())
def test_event_by_event_is_the_same_as_at_once(
    search: tuple[list[list[float]], list[int], SequenceConfig],
) -> None:
    evidence, times, config = search
    state = init_sequence(len(evidence))
    online: list[Alignment] = []
    for at, time_ns in enumerate(times):
        state, best = step(state, config, time_ns, [row[at] for row in evidence])
        online.append(best)
    assert max(one.score for one in online) == align(evidence, times, config)[0].score


def test_a_state_keeps_no_more_than_the_longest_gap() -> None:
    state = init_sequence(3)
    for at in range(2000):
        # Falling evidence is the worst case: no event makes an older one useless.
        state, _ = step(state, CONFIG, at * NS_PER_S, [4000.0 - at] * 3)
    assert max(len(window) for window in state.windows) <= 13


def test_answers_that_share_no_event() -> None:
    evidence = np.zeros((2, 40))
    for start, strength in ((5, 4.0), (25, 3.0)):
        evidence[0, start] = evidence[1, start + 2] = strength
    times = np.arange(40) * NS_PER_S
    first, second = align(evidence, times, CONFIG, k=2)
    assert (first.places, second.places) == ((5, 7), (25, 27))
    assert first.score == pytest.approx(5.8)


def test_a_scene_that_was_not_seen_is_left_out() -> None:
    evidence = np.zeros((3, 20))
    evidence[0, 3], evidence[2, 6] = 5.0, 5.0
    evidence[1, 5] = 0.5  # between them, but what many events have
    evidence[1, 15] = 5.0  # after the third: out of order
    (found,) = align(evidence, np.arange(20) * NS_PER_S, SequenceConfig(0.5, 10**12, 1.0))
    assert found.places == (3, None, 6)


def test_evidence_depends_on_ranks_alone() -> None:
    scores = np.random.default_rng(0).normal(size=(2, 50))
    np.testing.assert_array_equal(rank_evidence(scores), rank_evidence(np.exp(7 * scores)))


def test_equal_and_unknown_scores_are_evidence_of_nothing() -> None:
    evidence = rank_evidence([[0.0, 0.0, 0.0, 0.0], [np.nan, 2.0, 2.0, np.nan]])
    np.testing.assert_allclose(evidence, [[0, 0, 0, 0], [0, np.log(2), np.log(2), 0]])
    assert rank_evidence(np.zeros((2, 0))).shape == (2, 0)


def test_no_event_is_no_answer() -> None:
    assert align(np.zeros((2, 0)), []) == []


def test_what_cannot_be_searched_is_refused_and_changes_nothing() -> None:
    for scenes in (0, 17):
        with pytest.raises(QueryError, match="1 to 16 scenes"):
            init_sequence(scenes)
    with pytest.raises(QueryError, match="time an event"):
        align(np.zeros((2, 3)), [0, 1])
    with pytest.raises(QueryError, match="shape"):
        rank_evidence([1.0, 2.0])
    with pytest.raises(ConfigError, match="at least 0"):
        SequenceConfig(worth=float("nan"))
    state, _ = step(init_sequence(2), CONFIG, 5, [1.0, 0.0])
    for time_ns, evidence in ((4, [1.0, 0.0]), (6, [1.0]), (6, [1.0, float("inf")])):
        with pytest.raises(QueryError):
            step(state, CONFIG, time_ns, evidence)
    assert (state.events, state.last_ns) == (1, 5)
