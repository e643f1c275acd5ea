"""Nearest neighbours: exactness, what is allowed, refusals, lists that are fitted, and files."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.encoders.text import Vectors, unit_rows
from retrieval.store.caches.inverted import RECALL, inverted_lists, nearest_index, recall_at
from retrieval.store.caches.vectors import MISSING, FaissIndex
from stream.errors import AssetError, QueryError


def unit(count: int, dim: int = 16, seed: int = 0) -> Vectors:
    drawn = np.random.default_rng(seed).standard_normal((count, dim))
    return unit_rows(drawn.astype(np.float32))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 60), st.integers(1, 80), st.integers(0, 9))
def test_flat_equals_numpy(count: int, k: int, seed: int) -> None:
    stored, query = unit(count, seed=seed), unit(3, seed=seed + 100)
    index = FaissIndex(16)
    index.add(stored[: count // 2])
    index.add(stored[count // 2 :])
    scores, rows = index.search(query, k)
    wanted = -np.sort(-(query @ stored.T), axis=1)[:, :k]
    assert scores.shape == rows.shape == (3, min(k, count))
    np.testing.assert_allclose(scores, wanted, atol=1e-3)  # fp16
    np.testing.assert_allclose(
        np.take_along_axis(query @ stored.T, rows, axis=1), wanted, atol=1e-3
    )


@cache
def some_lists(count: int = 2000, dim: int = 32) -> tuple[Vectors, FaissIndex]:
    stored = unit(count, dim)
    return stored, inverted_lists(dim, count, lambda: np.array_split(stored, 7))


@pytest.mark.parametrize("share", [0.01, 0.3, 1.0])
@pytest.mark.parametrize("kind", ["flat", "ivf"])
def test_only_allowed_rows_are_found(kind: str, share: float) -> None:
    stored, index = some_lists()
    if kind == "flat":
        index = FaissIndex(32)
        index.add(stored)
    allowed = np.random.default_rng(3).random(2000) < share
    query = unit(20, 32, seed=1)
    scores, rows = index.search(query, 8, allowed)
    assert rows.shape == (20, 8) and index.kind == kind
    found = rows[rows != MISSING]
    assert allowed[found].all()
    wanted = np.argsort(-(query @ stored.T + np.where(allowed, 0, -9)), axis=1)[:, :8]
    assert recall_at(rows, wanted) >= (0.97 if kind == "flat" else 0.9)
    assert (np.diff(scores, axis=1) <= 0).all()


def test_nothing_allowed_finds_nothing() -> None:
    _, index = some_lists()
    assert index.search(unit(2, 32), 3, np.zeros(2000, bool))[1].shape == (2, 0)


def test_lists_are_fitted_to_the_recall_that_is_wanted() -> None:
    stored, index = some_lists()
    query = unit(100, 32, seed=2)
    wanted = np.argsort(-(query @ stored.T), axis=1)[:, :10]
    assert recall_at(index.search(query, 10)[1], wanted) >= RECALL - 0.02
    np.testing.assert_allclose(index.vectors(np.array([5, 1999])), stored[[5, 1999]], atol=1e-3)


def test_few_vectors_are_searched_one_by_one() -> None:
    stored = unit(50)
    index = nearest_index(16, 50, lambda: [stored[:20], stored[20:]])
    assert (index.kind, index.size) == ("flat", 50)
    assert nearest_index(16, 0, list).search(unit(1), 3)[1].shape == (1, 0)


def test_empty_index_and_no_queries() -> None:
    index = FaissIndex(4)
    assert index.search(unit(2, 4), 3)[0].shape == (2, 0)
    index.add(unit(3, 4))
    assert index.search(np.zeros((0, 4), np.float32), 3)[0].shape == (0, 3)


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((2, 5), np.float32),
        np.zeros(4, np.float32),
        np.array([[np.nan, 0, 0, 0]], np.float32),
        np.array([[np.inf, 0, 0, 0]], np.float32),
    ],
)
def test_bad_vectors_are_refused(bad: Vectors) -> None:
    index = FaissIndex(4)
    with pytest.raises(QueryError, match="expected"):
        index.add(bad)
    index.add(unit(2, 4))
    with pytest.raises(QueryError, match="expected"):
        index.search(bad, 1)
    with pytest.raises(QueryError, match="k >= 1"):
        index.search(unit(1, 4), 0)


@pytest.mark.parametrize("kind", ["flat", "ivf"])
def test_saved_index_answers_the_same(tmp_path: Path, kind: str) -> None:
    stored, index = some_lists()
    if kind == "flat":
        index = FaissIndex(32)
        index.add(stored)
    index.save(tmp_path / "i.faiss")
    again = FaissIndex.load(tmp_path / "i.faiss")
    assert (again.kind, again.dim, again.size) == (kind, 32, 2000)
    query = unit(4, 32, seed=3)
    np.testing.assert_array_equal(index.search(query, 5)[1], again.search(query, 5)[1])
    np.testing.assert_array_equal(again.vectors(np.array([3, 7])), index.vectors(np.array([3, 7])))
    again.add(unit(3, 32, seed=9))
    assert again.search(unit(3, 32, seed=9), 1)[1].ravel().tolist() == [2000, 2001, 2002]


@pytest.mark.parametrize("keep", [0, 3, 40, 500])
def test_broken_file_is_named(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "i.faiss"
    index = FaissIndex(16)
    index.add(unit(50))
    index.save(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(AssetError, match="foveal index build"):
        FaissIndex.load(path)
    with pytest.raises(AssetError, match="foveal index build"):
        FaissIndex.load(tmp_path / "absent.faiss")
