"""BM25 against its formula, bounds, and files."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.store.caches.words import K1, B, Bm25
from stream.errors import AssetError

DOCUMENTS = [["tomato", "berry", "tomato"], ["potato"], ["berry", "bush", "red", "fruit"]]
words = st.lists(st.sampled_from(["a1", "b2", "c3", "d4", "e5"]), max_size=8)


def formula(documents: list[list[str]], query: set[str], number: int) -> float:
    """Robertson & Zaragoza eq. 3.6, written out."""
    mean = max(1.0, sum(map(len, documents)) / len(documents))
    total = 0.0
    for word in query:
        seen = sum(word in document for document in documents)
        idf = math.log(1 + (len(documents) - seen + 0.5) / (seen + 0.5))
        count = documents[number].count(word)
        length = len(documents[number]) / mean
        total += idf * count * (K1 + 1) / (count + K1 * (1 - B + B * length))
    return total


@settings(max_examples=60, deadline=None)
@given(st.lists(words, min_size=1, max_size=6), words)
def test_scores_follow_the_formula(documents: list[list[str]], query: list[str]) -> None:
    bm25 = Bm25.build(documents)
    ceiling = sum(bm25.idf(word) for word in set(query)) * (K1 + 1)
    for number, score in enumerate(bm25.scores(query)):
        wanted = formula(documents, set(query), number)
        assert score * ceiling == pytest.approx(wanted, abs=1e-4)
        assert 0 <= score <= 1


def test_rare_words_weigh_more() -> None:
    bm25 = Bm25.build(DOCUMENTS)
    assert bm25.idf("potato") > bm25.idf("berry")
    assert bm25.idf("unseen") > bm25.idf("potato")
    assert int(np.argmax(bm25.scores(["tomato", "berry"]))) == 0
    assert not bm25.scores(["unseen"]).any()
    assert not bm25.scores([]).any()


def test_saved_postings_answer_the_same(tmp_path: Path) -> None:
    bm25 = Bm25.build(DOCUMENTS)
    bm25.save(tmp_path / "w.npz")
    again = Bm25.load(tmp_path / "w.npz")
    np.testing.assert_array_equal(bm25.scores(["berry", "red"]), again.scores(["berry", "red"]))


def test_broken_postings_are_named(tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    path.write_bytes(b"not a zip")
    with pytest.raises(AssetError, match="foveal index build"):
        Bm25.load(path)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(words, st.booleans()), max_size=6), st.lists(words, max_size=4), words)
def test_changed_postings_are_those_of_a_new_build(
    older: list[tuple[list[str], bool]], added: list[list[str]], query: list[str]
) -> None:
    before = Bm25.build([document for document, _ in older])
    keep = np.array([kept for _, kept in older], np.bool_)
    changed = before.kept(keep).joined(Bm25.build(added))
    anew = Bm25.build([document for document, kept in older if kept] + added)
    np.testing.assert_array_equal(changed.scores(query), anew.scores(query))
    assert all(changed.idf(word) == anew.idf(word) for word in ("a1", "zz"))


def test_postings_of_nothing_are_saved_and_joined(tmp_path: Path) -> None:
    Bm25.build([]).save(tmp_path / "w.npz")
    empty = Bm25.load(tmp_path / "w.npz")
    assert empty.size == 0 and empty.scores(["berry"]).shape == (0,)
    np.testing.assert_array_equal(
        empty.joined(Bm25.build(DOCUMENTS)).scores(["red"]), Bm25.build(DOCUMENTS).scores(["red"])
    )
