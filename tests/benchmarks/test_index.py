"""The vectors of benchmarks.index, and what it counts."""

import numpy as np

from benchmarks.index import DIM, Drawn, Held, RowEncoder, _entry, exact, growth_law, store_row
from retrieval.encoders.text import Vectors


class Few(Drawn):
    """With a handful of queries."""

    def queries(self) -> Vectors:
        return super().queries()[:20]


def test_drawn_rows_are_the_same_however_they_are_asked_for() -> None:
    drawn = Drawn(9000)
    rows = np.array([5, 4095, 4096, 8999, 6])
    every = drawn.rows(np.arange(9000))
    np.testing.assert_array_equal(drawn.rows(rows), every[rows])
    np.testing.assert_allclose(np.linalg.norm(every, axis=1), 1, atol=1e-5)
    near = np.sort(every @ drawn.queries().T, axis=0)[-10:]
    assert 0.3 < near.mean() < 0.8  # of one cluster, and not the same


def test_an_entry_has_the_vectors_that_its_texts_name() -> None:
    drawn = Drawn(5000)
    entry = _entry(12)
    vectors = RowEncoder(drawn).encode_text([entry.entity_text, *entry.passages])
    np.testing.assert_array_equal(vectors[1:], drawn.rows(np.arange(1200, 1300)))
    np.testing.assert_array_equal(vectors[0], vectors[1])


def test_exact_search_is_exact_and_leaves_out_what_is_gone() -> None:
    held = Held(Drawn(5000).rows(np.arange(5000)))
    alive = np.arange(0, held.count, 2)
    found = exact(held, held.queries(), alive)
    scores = held.queries() @ held.rows(alive).T
    assert (found % 2 == 0).all()
    for row, one in zip(found, scores, strict=True):
        assert set(row) == set(alive[np.argsort(-one)[:10]])


def test_a_small_index_is_built_changed_and_asked() -> None:
    row = store_row(Few(2000))
    assert row["recall_at_10"] is not None and row["recall_at_10"] >= 0.98
    assert row["recall_changed"] is not None and row["recall_changed"] >= 0.98
    assert row["bytes"] is not None and 2 * DIM <= row["bytes"] < 2 * DIM + 64
    assert row["lists"] == 0


def test_growth_is_an_exponent() -> None:
    def row(size: int) -> dict[str, float | int | None]:
        return {"ms": size**0.5, "bytes": 400.0, "build_s": size * 2.0, "reopen_s": 1.0}

    said = growth_law({f"{size:,}": row(size) for size in (10_000, 100_000)})
    assert said.startswith("growth: ms ~ n^0.50, bytes ~ n^1.00, build_s ~ n^1.00")
