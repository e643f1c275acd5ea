"""Nouns of question and answer: what an answer calls a thing."""

import pytest

from stream.errors import QueryError
from stream.events import Answer, Query, QueryFilter, Question, Region, Span
from stream.geometry import Rle


@pytest.mark.parametrize(
    ("words", "name"),
    [("a red cup", "red cup"), ("The cat", "cat"), ("it", ""), ("a thing", ""), ("hat", "hat")],
)
def test_a_name_has_no_article_and_says_something(words: str, name: str) -> None:
    region = Region(1, 0, Rle((1, 1), (1,)), None, 1.0)
    span = Span(3, 3 + len(words), region)
    assert Answer(Question("?", 0), f"Is {words}.", "", (span,), ()).name_of(span) == name


@pytest.mark.parametrize(
    ("only", "admitted"),
    [
        (QueryFilter(), True),
        (QueryFilter(after_ns=10), True),
        (QueryFilter(after_ns=11), False),
        (QueryFilter(before_ns=11), True),
        (QueryFilter(before_ns=10), False),
        (QueryFilter(tags=("kitchen",)), True),
        (QueryFilter(tags=("kitchen", "cellar")), False),
        (QueryFilter(sources=("notes", "wiki")), True),
        (QueryFilter(sources=("wiki",)), False),
        (QueryFilter(tiers=("own",)), True),
        (QueryFilter(tiers=("vetted", "unvetted")), False),
    ],
)
def test_a_filter_admits_what_it_says(only: QueryFilter, admitted: bool) -> None:
    assert only.admits("notes", "own", ("kitchen", "tea"), at_ns=10) is admitted


def test_a_filter_of_time_leaves_out_what_has_none() -> None:
    assert QueryFilter().admits("notes", "own")
    assert not QueryFilter(after_ns=0).admits("notes", "own")
    with pytest.raises(QueryError, match="after_ns < before_ns"):
        QueryFilter(after_ns=5, before_ns=5)


def test_a_query_asks_everybody_unless_told() -> None:
    query = Query("text", "cup")
    assert (query.source, query.filter) == ("auto", QueryFilter())
