"""Nouns of question and answer: what an answer calls a thing."""

import pytest

from stream.events import Answer, Question, Region, Span
from stream.geometry import Rle


@pytest.mark.parametrize(
    ("words", "name"),
    [("a red cup", "red cup"), ("The cat", "cat"), ("it", ""), ("a thing", ""), ("hat", "hat")],
)
def test_a_name_has_no_article_and_says_something(words: str, name: str) -> None:
    region = Region(1, 0, Rle((1, 1), (1,)), None, 1.0)
    span = Span(3, 3 + len(words), region)
    assert Answer(Question("?", 0), f"Is {words}.", "", (span,), ()).name_of(span) == name
