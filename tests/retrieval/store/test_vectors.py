"""Nearest neighbours: exactness, padding, ranges, refusals, and files."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.encoders.text import Vectors, unit_rows
from retrieval.store.vectors import MISSING, FaissIndex
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
    np.testing.assert_allclose(scores, wanted, atol=1e-5)
    np.testing.assert_allclose(
        np.take_along_axis(query @ stored.T, rows, axis=1), wanted, atol=1e-5
    )


@pytest.mark.parametrize("kind", ["flat", "hnsw"])
def test_range_limits_rows(kind: str) -> None:
    index = FaissIndex(16, "hnsw" if kind == "hnsw" else "flat")
    index.add(unit(100))
    _, rows = index.search(unit(5, seed=1), 8, (40, 60))
    found = rows[rows != MISSING]
    assert found.size > 0
    assert ((found >= 40) & (found < 60)).all()
    assert index.search(unit(1), 3, (60, 60))[1].shape == (1, 0)


def test_hnsw_finds_almost_what_flat_finds() -> None:
    stored, query = unit(2000, 32), unit(50, 32, seed=2)
    flat, graph = FaissIndex(32), FaissIndex(32, "hnsw")
    flat.add(stored)
    graph.add(stored)
    exact, near = flat.search(query, 10)[1], graph.search(query, 10)[1]
    shared = [len(set(a) & set(b)) for a, b in zip(exact.tolist(), near.tolist(), strict=True)]
    assert np.mean(shared) >= 9.5


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


@pytest.mark.parametrize("kind", ["flat", "hnsw"])
def test_saved_index_answers_the_same(tmp_path: Path, kind: str) -> None:
    index = FaissIndex(16, "hnsw" if kind == "hnsw" else "flat")
    index.add(unit(50))
    index.save(tmp_path / "i.faiss")
    again = FaissIndex.load(tmp_path / "i.faiss")
    assert (again.kind, again.dim, again.size) == (kind, 16, 50)
    query = unit(4, seed=3)
    np.testing.assert_array_equal(index.search(query, 5)[1], again.search(query, 5)[1])
    np.testing.assert_array_equal(again.vectors(np.array([3, 7])), index.vectors(np.array([3, 7])))


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
