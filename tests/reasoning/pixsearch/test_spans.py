"""Span extraction and the masks of losses, against cases made by hand."""

from hypothesis import given
from hypothesis import strategies as st

from reasoning.pixsearch.spans import (
    BEGIN,
    INSIDE,
    MAX_SPAN,
    OUTSIDE,
    bio_labels,
    counted,
    token_spans,
)
from tests.doubles.spans import extract_spans

O, B, I = OUTSIDE, BEGIN, INSIDE  # noqa: E741


def test_spans_open_with_b_go_on_with_i_and_close() -> None:
    assert extract_spans([O, B, I, I, O, B, O]) == [(1, 4), (5, 6)]
    assert extract_spans([B, B, I]) == [(0, 1), (1, 3)]  # B closes the open one
    assert extract_spans([O, B, I]) == [(1, 3)]  # the end closes
    assert extract_spans([]) == []


def test_an_orphan_inside_is_no_span() -> None:
    assert extract_spans([I, I, O, I, B, O, I]) == [(4, 5)]


def test_an_overlong_span_is_dropped_whole_and_the_next_one_is_found() -> None:
    long = [B] + [I] * MAX_SPAN
    assert extract_spans(long) == []
    assert extract_spans([*long, O, B, I]) == [(len(long) + 1, len(long) + 3)]
    assert extract_spans(long[:-1]) == [(0, MAX_SPAN)]


@given(st.lists(st.sampled_from([O, B, I]), max_size=40))
def test_spans_are_ordered_disjoint_and_begin_with_b(labels: list[int]) -> None:
    end = 0
    for start, stop in extract_spans(labels):
        assert end <= start < stop and stop - start <= MAX_SPAN
        assert labels[start] == B and all(label == I for label in labels[start + 1 : stop])
        end = stop


def test_tokens_belong_to_the_entity_that_they_overlap() -> None:
    #           The      Egy      ptian    cat       sat
    offsets = [(0, 3), (4, 7), (7, 12), (13, 16), (17, 20)]
    assert bio_labels(offsets, [(4, 16)]) == [O, B, I, I, O]
    assert token_spans(offsets, [(4, 16), (17, 20)]) == [(1, 4), (4, 5)]
    assert token_spans(offsets, [(3, 4)]) == [None]  # between two tokens
    assert bio_labels(offsets, [(4, 7), (7, 12)]) == [O, B, B, O, O]


def test_evidence_is_not_counted_even_where_a_token_only_touches_it() -> None:
    # Eq. 9: masked iff s_i < e_k and e_i > s_k.
    offsets = [(0, 2), (2, 5), (5, 6), (6, 9), (9, 12)]
    assert counted(offsets, [(2, 6)]) == [True, False, False, True, True]
    assert counted(offsets, [(4, 7)]) == [True, False, False, False, True]
    assert counted(offsets, [(2, 2)]) == [True, True, True, True, True]
    assert counted(offsets, [(0, 1), (11, 12)]) == [False, True, True, True, False]
