"""Numbers, names and denials of a sentence."""

import pytest

from retrieval.defence.facts import facts, names, numbers, said_numbers


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It has 1,000 parts and 3.5 legs.", {"1000", "3.5"}),
        ("Born in 1879, died on 18 April 1955.", {"1879", "18", "1955"}),
        ("Three of the twelve.", {"3", "12"}),
        ("One of them came first.", set()),
        ("The B-52 and the A1.", {"52"}),
    ],
)
def test_numbers_are_compared_as_digits(text: str, found: set[str]) -> None:
    assert numbers(text) == found


def test_a_text_may_say_a_number_in_a_word_that_is_not_always_one() -> None:
    assert said_numbers("The first one.") == {"1"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The tower was built by Gustave Eiffel in Paris.", {"gustave", "eiffel", "paris"}),
        ("Anna owns it.", set()),  # any word begins a sentence
        ("It is blue. Marie Curie found it.", {"marie", "curie"}),
        ("However, NATO agreed.", {"nato"}),
    ],
)
def test_names_are_written_with_a_capital(text: str, found: set[str]) -> None:
    assert names(text) == found


def test_denials_are_counted() -> None:
    assert [facts(text).denials for text in ("It can fly.", "It can't fly.", "No, never.")] == [
        0,
        1,
        2,
    ]
