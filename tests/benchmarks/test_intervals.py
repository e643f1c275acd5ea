"""Intervals of figures whose things come in groups, and the precision of a ranking."""

from functools import partial

import numpy as np
import pytest

from benchmarks.intervals import add, clustered, mean
from benchmarks.looks import precision


def test_groups_are_drawn_whole() -> None:
    hits = np.repeat([0.0, 1.0], 50)
    alone = clustered(range(100), partial(mean, hits))
    together = clustered([0] * 50 + [1] * 50, partial(mean, hits))
    assert alone[0] == pytest.approx(0.4, abs=0.03) and alone[1] == pytest.approx(0.6, abs=0.03)
    assert together == (0.0, 1.0)


def test_what_is_no_number_is_left_out() -> None:
    row: dict[str, float | int | None] = {}
    add(row, "gain", ["a", "b"], lambda drawn: float("nan"))
    assert row == {}
    add(row, "share", ["a", "b"], partial(mean, np.ones(2)))
    assert row == {"share": 1.0, "share_low": 1.0, "share_high": 1.0}


def test_average_precision() -> None:
    average, first = precision([True, False, True, False])
    assert average == pytest.approx((1 + 2 / 3) / 2) and first == 1.0
    assert precision([False, True]) == (0.5, 0.0)
