"""Word errors."""

import pytest

from benchmarks.word_errors import word_errors


@pytest.mark.parametrize(
    ("said", "heard", "errors"),
    [
        ("What is this?", "what is this", 0),
        ("a b c", "a c", 1),
        ("a b", "a x b y", 2),
        ("a b c", "", 3),
        ("", "a", 1),
    ],
)
def test_word_errors(said: str, heard: str, errors: int) -> None:
    assert word_errors(said, heard) == (errors, len(said.split()))
