"""Entries and refusals."""

import json

import pytest

from retrieval.sources.entries import Entry, RefusedRow


def test_what_an_entry_may_have_beside_text_survives_json() -> None:
    plain = Entry("n:a", "A", "", ("Text of A.",))
    assert not {"date", "tags", "tier", "picture"} & plain.as_json().keys()
    full = Entry(
        *("n:a", "A", "", ("Text of A.",)),
        date="2026-05-01",
        tags=("home", "keys"),
        tier="own",
        picture="/photos/a.jpg",
    )
    for entry in (plain, full):
        assert Entry.from_json(json.loads(json.dumps(entry.as_json()))) == entry


def test_a_refusal_says_where() -> None:
    assert str(RefusedRow("a.csv", 7, "no text")) == "a.csv row 7: no text"
    assert str(RefusedRow("a.txt", None, "expected UTF-8 text")) == "a.txt: expected UTF-8 text"


@pytest.mark.parametrize(
    ("title", "description", "topic", "passage", "dated"),
    [
        (
            "Jane Austen",
            "English novelist (1775–1817)",
            "People",
            "Jane Austen was an English novelist.",
            "Jane Austen, English novelist, lived from 1775 to 1817.",
        ),
        (
            "Bell (inventor)",
            "Inventor of the telephone (1847–1922)",
            "Uncategorized",
            "He was an inventor.",
            "Bell, inventor of the telephone, lived from 1847 to 1922.",
        ),
        (
            "Bill Gates",
            "American businessman (born 1955)",
            "People",
            "Bill Gates is a businessman.",
            "Bill Gates, American businessman, was born in 1955.",
        ),
        (
            "World War II",
            "Global conflict (1939–1945)",
            "Uncategorized",
            "World War II was a conflict.",
            "World War II: Global conflict (1939–1945).",
        ),
        ("Dracula", "1897 novel", "Arts", "A vampire comes.", "Dracula is an 1897 novel."),
        ("Mars", "Fourth planet from the Sun", "", "Mars is a planet.", ""),
        ("Area 51", "", "", "It is a base.", ""),
    ],
)
def test_years_come_out_of_the_description(
    title: str, description: str, topic: str, passage: str, dated: str
) -> None:
    entry = Entry(f"w:{title}", title, description, (passage,), topic)
    assert entry.dated == dated
