"""The block before a note: what is read, and what is none or broken."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.sources.front_matter import NONE, FrontMatter, front_matter


def test_what_is_read() -> None:
    told = "Title: Boiler\ncreated: 2026-05-01T12:00:00+02:00\nkeywords: a, b\nlicence: CC0"
    front, body = front_matter(f"---\n{told}\n...\nWords.")
    assert body == "Words."
    assert front == FrontMatter("Boiler", "2026-05-01T10:00:00", ("a", "b"), "CC0")


@pytest.mark.parametrize(
    "text", ["", "Words.", "---\nWords.", "---\nWords.\n---\nMore.", " ---\na: b\n---\n"]
)
def test_what_is_none_stays_text(text: str) -> None:
    assert front_matter(text) == (NONE, text)


@pytest.mark.parametrize(
    "block",
    [
        "title: [a",
        "date: !!timestamp abc",
        "title: !!bool abc",
        "date: 2026-99-99",
        f"title: 0x{'f' * 9000}",
        "date: 0001-01-01T00:00:00+10:00",
        "date: last summer",
        "title: !!python/object/apply:os.getcwd []",
    ],
)
def test_what_is_broken_is_told_and_the_text_is_read(block: str) -> None:
    front, body = front_matter(f"---\n{block}\n---\nWords.")
    assert front.problem.startswith("expected") and body == "Words."


@settings(max_examples=80, deadline=None)
@given(st.text("ab:-[]{}&*!? \n#|>'\"0129", max_size=60))
def test_any_block(block: str) -> None:
    front, body = front_matter(f"---\n{block}\n---\nWords.")
    assert body.endswith("Words.") and all(isinstance(tag, str) for tag in front.tags)
