"""Sentence splitting, search words, quotations."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.sources.sentences import (
    MAX_QUOTE_WORDS,
    clean,
    quote,
    search_words,
    sentences,
    singular,
)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Coffee is a beverage. It is brewed from roasted beans.", 2),
        ("Ulysses S. Grant was the 18th president of the U.S. Army staff.", 1),
        ("J. R. R. Tolkien wrote The Hobbit in the year 1937. He was an English academic.", 2),
        ("It was built c. 1500 by Dr. Smith of St. Louis.", 1),
        ('He said "stop it right now." Then the whole crowd left.', 2),
        ("A sentence that is long enough. Short one.", 1),
        ("no end at all", 1),
        ("", 0),
    ],
)
def test_sentences(text: str, count: int) -> None:
    assert len(sentences(text)) == count


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=300))
def test_sentences_lose_no_words(text: str) -> None:
    cleaned = clean(text)
    assert " ".join(sentences(cleaned)).split() == cleaned.split()


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=600))
def test_clean_is_one_line_and_stable(text: str) -> None:
    cleaned = clean(text)
    assert "\n" not in cleaned
    assert "\x00" not in cleaned
    assert clean(cleaned) == cleaned


def test_clean_drops_emptied_parentheses() -> None:
    assert clean("A chair ( ) is\n a  seat (, from Latin).") == "A chair is a seat (from Latin)."


def test_search_words_fold_case_accents_and_plurals() -> None:
    assert search_words("The Cafés of São Paulo's boxes") == ["cafe", "sao", "paulo", "box"]
    assert search_words("what is it?") == []


@pytest.mark.parametrize(
    ("word", "root"),
    [("berries", "berry"), ("cups", "cup"), ("glass", "glass"), ("bus", "bus"), ("dishes", "dish")],
)
def test_singular(word: str, root: str) -> None:
    assert singular(word) == root


def test_quote_is_short_and_ends_at_a_clause() -> None:
    text = " ".join(["word"] * 30) + ", " + " ".join(["more"] * 40)
    short = quote(text)
    assert len(short.split()) <= MAX_QUOTE_WORDS + 1
    assert short.endswith("word …")
    assert quote("Short enough.") == "Short enough."
