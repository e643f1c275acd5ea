"""Long documents in pieces: where they are cut, and that they read as they did whole."""

from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.sources import chunks as module
from retrieval.sources.chunks import chunks
from retrieval.sources.notes import NoteReader, read_note


def read(text: str, markdown: bool = True) -> tuple[str, ...]:
    pieces = chunks(text.splitlines(keepends=True), markdown)
    return tuple(NoteReader(markdown).read(pieces))


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_CHARS", 60)


@pytest.mark.usefixtures("short")
def test_a_table_that_is_cut_keeps_its_columns() -> None:
    rows = "".join(f"| thing {n} | drawer {n} |\n" for n in range(40))
    text = f"# Home\n\n| What | Where |\n|---|---|\n{rows}"
    assert read(text) == tuple(f"What: thing {n}, Where: drawer {n}" for n in range(40))


@pytest.mark.usefixtures("short")
def test_a_fence_that_is_cut_goes_on() -> None:
    code = "".join(f"# comment number {n} is no heading\n" for n in range(40))
    text = f"# Home\n\n```sh\n{code}```\n\n## Below\n- the end of it is here\n"
    told = tuple(f"# comment number {n} is no heading" for n in range(40))
    assert read(text) == (*told, "Below: the end of it is here")


@pytest.mark.usefixtures("short")
def test_headings_hold_over_cuts() -> None:
    items = "".join(f"- item {n} is in the box\n" for n in range(40))
    assert read(f"# Home\n## Cellar\n{items}") == tuple(
        f"Cellar: item {n} is in the box" for n in range(40)
    )


def test_no_line_is_lost_or_moved() -> None:
    lines = [f"line {n}\n" if n % 7 else "\n" for n in range(20_000)]
    pieces = list(chunks(lines))
    assert "".join(pieces) == "".join(lines) and len(pieces) > 5
    assert max(map(len, pieces)) <= 2 * module.CHUNK_CHARS + 10


BLOCKS = ["# Head\n", "## Sub\n", "- an item of it\n", "Some words. And more.\n", "\n", "> q\n"]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(BLOCKS), min_size=1, max_size=40))
def test_pieces_say_what_the_whole_says(lines: list[str]) -> None:
    separate = list(chain.from_iterable((line, "\n") for line in ["# Home\n", *lines]))
    whole = read_note("".join(separate)).passages
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK_CHARS", 30)
        assert read("".join(separate)) == whole
