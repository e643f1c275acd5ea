"""ConSE against its formula."""

import numpy as np
import pytest

from retrieval.encoders.conse import ConseProjector
from retrieval.encoders.text import unit_rows
from stream.errors import QueryError


def test_projection_mixes_the_top_classes() -> None:
    embeddings = np.eye(4, dtype=np.float32)
    posteriors = np.array([[0.5, 0.3, 0.15, 0.05]], np.float32)
    got = ConseProjector(embeddings, top=2).project(posteriors)
    np.testing.assert_allclose(got, unit_rows(np.array([[5, 3, 0, 0]], np.float32)), atol=1e-6)


def test_certain_class_is_its_own_vector() -> None:
    rng = np.random.default_rng(0)
    embeddings = unit_rows(rng.standard_normal((20, 8)).astype(np.float32))
    got = ConseProjector(embeddings).project(np.eye(20, dtype=np.float32))
    np.testing.assert_allclose(got, embeddings, atol=1e-5)


def test_fewer_classes_than_top_and_no_rows() -> None:
    projector = ConseProjector(np.eye(3, dtype=np.float32), top=10)
    assert projector.project(np.zeros((0, 3), np.float32)).shape == (0, 3)
    assert np.linalg.norm(projector.project(np.full((1, 3), 1 / 3, np.float32))) == pytest.approx(1)


def test_bad_shapes_and_nan_are_refused() -> None:
    projector = ConseProjector(np.eye(3, dtype=np.float32))
    with pytest.raises(QueryError, match=r"\[N, 3\]"):
        projector.project(np.zeros((1, 4), np.float32))
    with pytest.raises(QueryError, match="finite"):
        projector.project(np.array([[np.nan, 0, 0]], np.float32))
    with pytest.raises(QueryError, match="finite"):
        ConseProjector(np.full((2, 2), np.nan, np.float32))
