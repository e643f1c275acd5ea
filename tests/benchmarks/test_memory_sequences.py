"""Searches that are made up, and the ways that are compared on them."""

import numpy as np
import pytest

from benchmarks.memory_sequences import EVENTS, SCENES, Search, figures, right, simulate, ways
from stream.clock import NS_PER_S


def test_simulated_searches_keep_their_order_and_their_seed() -> None:
    one, again = (next(simulate(1, 30, 0)) for _ in range(2))
    np.testing.assert_array_equal(one.scores, again.scores)
    assert one.scores.shape == (SCENES, EVENTS) and np.all(np.diff(one.times) >= 0)
    places = [at for at in one.truth if at is not None]
    assert len(places) == SCENES and places == sorted(set(places))


def test_missing_scenes_are_missing_but_never_all() -> None:
    truths = [search.truth for search in simulate(3, 30, 0.99)]
    assert all(sum(at is not None for at in truth) == 1 for truth in truths)


@pytest.mark.parametrize("name", ways())
def test_every_way_finds_what_is_plain(name: str) -> None:
    scores = np.random.default_rng(0).normal(size=(4, 60))
    scores[range(4), range(20, 24)] = 50.0
    search = Search(scores, np.arange(60) * 10 * NS_PER_S, (20, 21, 22, 23))
    row = figures([right(search, ways()[name])])
    assert (row["found"], row["scenes"], row["last"]) == (1.0, 1.0, 1.0)
    elsewhere = Search(scores, search.times, (3, 4, None, 5))
    assert figures([right(elsewhere, ways()[name])])["found"] == 0.0
