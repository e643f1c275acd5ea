"""Regions of a page: where the threshold lies, what is joined, and that order changes nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.encoders.text import unit_rows
from retrieval.pages.cells import CellGrid, Shares, cell_scores, page_vector, quantised
from retrieval.pages.page_regions import find_regions, threshold
from stream.errors import SourceError


def lines(*tops: float) -> Shares:
    """[N, 4] lines of .02 of a page's height."""
    return np.array([(0.1, top, 0.9, top + 0.02) for top in tops], np.float32)


def grid(rows: int, columns: int) -> Shares:
    y, x = np.divmod(np.arange(rows * columns), columns)
    corners = [x / columns, y / rows, (x + 1) / columns, (y + 1) / rows]
    return np.stack(corners, axis=1).astype(np.float32)


@pytest.mark.parametrize(
    ("scores", "least"),
    [
        ([1.0, 0.0, 0.0, 0.0], 0.25 + 0.4330127),
        ([1.0, 0.0] + [0.0] * 98, 0.4),  # not below .4 of the highest
        ([1.0, 1.0, 1.0, 0.99], 0.9),  # not above .9 of it
        ([-0.2, -0.1], -0.1),  # nothing fits: the best one alone
    ],
)
def test_threshold(scores: list[float], least: float) -> None:
    assert threshold(np.array(scores, np.float32)) == pytest.approx(least, abs=1e-5)


def test_lines_that_follow_each_other_are_one_region() -> None:
    boxes = lines(0.1, 0.13, 0.16, 0.6)
    scores = np.array([0.9, 0.8, 0.1, 0.85], np.float32)
    first, second = find_regions(scores, boxes, least=0.5)
    assert first.cells == (0, 1) and second.cells == (3,)
    assert first.box == pytest.approx((0.1, 0.1, 0.9, 0.15)) and first.score == pytest.approx(0.9)
    assert find_regions(scores, boxes, least=2.0) == ()


def test_a_line_between_belongs_to_its_region() -> None:
    boxes = lines(0.1, 0.124, 0.148, 0.22)
    (one, other) = find_regions(np.array([0.9, 0.1, 0.8, 0.7], np.float32), boxes, least=0.5)
    assert one.cells == (0, 1, 2) and other.cells == (3,)


def test_patches_join_at_corners() -> None:
    scores = np.zeros(64, np.float32)
    scores[[0, 9, 40]] = [0.9, 0.8, 1.0]
    first, second = find_regions(scores, grid(8, 8), (8, 8), 0.5)
    assert (first.cells, second.cells) == ((40,), (0, 9))


def test_overlapping_regions_are_one() -> None:
    boxes = np.array([(0.1, 0.1, 0.5, 0.5), (0.12, 0.1, 0.5, 0.52)], np.float32)
    (one,) = find_regions(np.array([0.5, 0.6], np.float32), boxes, least=0.1)
    assert one.cells == (0, 1)


@settings(max_examples=30)
@given(st.permutations(range(12)), st.integers(0, 5))
def test_the_order_of_cells_changes_no_box(order: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    boxes, scores = lines(*np.sort(rng.random(12))), rng.random(12).astype(np.float32)
    expected = [(one.score, one.box) for one in find_regions(scores, boxes)]
    found = find_regions(scores[order], boxes[order])
    assert [(one.score, one.box) for one in found] == expected


def test_int8_keeps_cosines() -> None:
    vectors = unit_rows(np.random.default_rng(0).standard_normal((50, 96)).astype(np.float32))
    codes, scales = quantised(vectors)
    assert codes.dtype == np.int8
    found = cell_scores(vectors[:3], codes, scales)
    assert np.abs(found - (vectors @ vectors[:3].T).mean(axis=1)).max() < 0.005
    cells = CellGrid(vectors, np.zeros((50, 4), np.float32), (5, 10))
    assert np.linalg.norm(page_vector(cells)) == pytest.approx(1, abs=1e-5)
    with pytest.raises(SourceError, match="grid"):
        CellGrid(vectors, np.zeros((50, 4), np.float32), (5, 11))
