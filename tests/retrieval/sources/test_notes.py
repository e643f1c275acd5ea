"""Notes as a wearer writes them: lists, tables, headings, code, short lines."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.sources.notes import cut, read_note
from retrieval.sources.sentences import MAX_QUOTE_WORDS, clean


@pytest.mark.parametrize("mark", ["-", "*", "+", "•", "7.", "7)", "- [ ]", "  -"])
def test_each_item_of_a_list_is_a_passage(mark: str) -> None:
    lines = "\n".join(f"{mark} Thing number {count}: box in the cellar" for count in range(60))
    text = f"# Where things are\n{lines}\n{mark} Spare fuses: blue drawer in the hall\n"
    note = read_note(text)
    assert note.title == "Where things are" and len(note.passages) == 61
    assert note.passages[-1] == "Spare fuses: blue drawer in the hall"


def test_a_row_of_a_table_repeats_the_columns_names() -> None:
    table = "| Thing | Where |\n|---|:--:|\n| fuses | blue drawer |\n| passport | grey folder |\n"
    assert read_note(f"# Home\n\n{table}\nThat is all there is for now.").passages == (
        "Thing: fuses, Where: blue drawer",
        "Thing: passport, Where: grey folder",
        "That is all there is for now.",
    )
    assert read_note("| fuses for the old stove | blue drawer |").passages == (
        "fuses for the old stove, blue drawer",
    )


def test_a_table_right_below_an_item_is_none_of_it() -> None:
    text = "- Fuses\n  - blue drawer\n| Thing | Where |\n|---|---|\n| skis | attic |\n- more\n"
    assert read_note(text).passages == (
        "Fuses",
        "Fuses: blue drawer",
        "Thing: skis, Where: attic",
        "more",
    )


@pytest.mark.parametrize(
    ("text", "passages"),
    [
        ("It is **very** hot: [93 °C](https://x.example).", ("It is very hot: 93 °C.",)),
        ("Milk<br>Bread", ("Milk", "Bread")),
        ("milk\nbread\n---\nThat is all.", ("milk", "bread", "That is all.")),
        ("<div>Pour <b>slowly</b>.</div><!-- no -->", ("Pour slowly.",)),
        ("![The shelf](shelf.jpg)", ("The shelf",)),
        ("> Words that somebody said once.", ("Words that somebody said once.",)),
        ("# A\n## The code is 4711\n## B\n4711", ("A: The code is 4711", "B: 4711")),
        ("# Buy milk", ("Buy milk",)),
        ("    indented words are no code", ("indented words are no code",)),
    ],
)
def test_what_a_wearer_would_hear(text: str, passages: tuple[str, ...]) -> None:
    assert read_note(text).passages == passages


def test_items_stand_under_their_heading() -> None:
    text = "# Home\n## Cellar\n- Spare fuses in the box\n## Attic\n- Skis\n  of last winter\n"
    assert read_note(text).passages == (
        "Cellar: Spare fuses in the box",
        "Attic: Skis of last winter",
    )


def test_a_short_item_is_found_by_the_title() -> None:
    assert read_note("# Shopping\n- milk\n- bread\n").passages == (
        "Shopping: milk",
        "Shopping: bread",
    )


def test_what_looks_like_a_heading_and_is_none_is_kept() -> None:
    text = "# Router\n```\n# reboot the router now please\n```\n#todo buy one for the attic\n"
    assert read_note(text).passages == (
        "# reboot the router now please",
        "#todo buy one for the attic",
    )


@pytest.mark.parametrize("markdown", [True, False])
def test_wrapped_prose_is_joined_and_short_lines_stand_alone(markdown: bool) -> None:
    wrapped = (
        "The boiler in the cellar was serviced in May by the plumber from town\n"
        "who came on a Monday. It needs a new valve before the winter begins.\n"
    )
    lines = "Passport: grey folder, second shelf\nBike lock: the code is 4711\n"
    assert read_note(f"{wrapped}\n{lines}", markdown).passages == (
        "The boiler in the cellar was serviced in May by the plumber from town who came on a "
        "Monday.",
        "It needs a new valve before the winter begins.",
        "Passport: grey folder, second shelf",
        "Bike lock: the code is 4711",
    )


def test_the_title_of_the_front_matter() -> None:
    note = read_note('---\ntags: [home]\ntitle: "Garden"\n---\n# Tools\n- The hose is outside.\n')
    assert note.title == "Garden"
    assert note.passages == ("Tools: The hose is outside.",)


def test_plain_text_has_no_headings() -> None:
    assert read_note("# of boxes in the attic is 12\n", markdown=False).title == ""


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text("abc ,;#|-*`1.\n", max_size=80), max_size=8).map("\n".join), st.booleans())
def test_any_text_gives_short_single_lines(text: str, markdown: bool) -> None:
    for passage in read_note(text, markdown).passages:
        assert 0 < len(passage.split()) <= MAX_QUOTE_WORDS and "\n" not in passage
        assert passage == clean(passage) or "(" in passage


@given(st.lists(st.sampled_from(["word", "end,", "stop."]), max_size=200), st.integers(2, 50))
def test_a_cut_loses_no_word(words: list[str], limit: int) -> None:
    parts = list(cut(" ".join(words), limit))
    assert " ".join(parts).split() == words
    assert all(len(part.split()) <= limit for part in parts)
