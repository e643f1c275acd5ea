"""CSV: what is read, and what is refused by row or by file."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.sources import tables
from retrieval.sources.entries import Entry, Knowledge, RefusedRow
from retrieval.sources.records import entries
from retrieval.sources.tables import read_table
from stream.errors import SourceError


def load(path: Path, encoding: str = "") -> Knowledge:
    return Knowledge.collect(path.stem, entries(path.stem, read_table(path, encoding=encoding)))


@pytest.mark.parametrize("delimiter", list(tables.DELIMITERS))
def test_rows_by_the_names_of_their_columns(tmp_path: Path, delimiter: str) -> None:
    path = tmp_path / "things.csv"
    lines = [
        ["Name", "text", "tags", "Date"],
        ["Kettle", '"It is Anna\'s.\nPour at 93 degrees."', "kitchen", "2026-05-01"],
        ["Fuses", "They are in the blue drawer."],
    ]
    path.write_text("\n".join(map(delimiter.join, lines)), encoding="utf-8-sig")
    kettle, fuses = load(path).entries
    assert kettle.id == "things:Kettle" and kettle.passages[0].startswith("It is Anna's.")
    assert (kettle.tags, kettle.date) == (("kitchen",), "2026-05-01")
    assert fuses.passages == ("They are in the blue drawer.",) and fuses.tags == ()


def test_without_a_column_of_text_the_others_are_told(tmp_path: Path) -> None:
    path = tmp_path / "where.csv"
    path.write_text("title,Where,Colour\nFuses,drawer in the hall,blue\nNothing,,\n")
    knowledge = load(path)
    assert [entry.passages for entry in knowledge.entries] == [
        ("Where: drawer in the hall, Colour: blue",)
    ]
    assert knowledge.refused == (RefusedRow("where.csv", 3, "Nothing: no text"),)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("fuses,blue drawer\npassport,grey folder\n", "got fuses, blue drawer; add a line"),
        ("", "got nothing"),
        ("title,text,Text\na,b,c\n", "text twice"),
    ],
)
def test_a_header_that_is_missing_is_told(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(SourceError, match=reason):
        load(path)


def test_a_row_that_does_not_fit_is_refused_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "MAX_ROW_CHARS", 150_000)
    path = tmp_path / "bad.csv"
    rows = [
        "title,text",
        "A,Text of A.",
        "B,one,too many",
        f"C,{'x' * 140_000}",  # more than the csv module takes in a cell
        f"D,{'x' * 160_000}",
        ",Words without a title.",
        "A,Another text of A.",
        "E,Text of E.",
    ]
    path.write_text("\n".join(rows))
    knowledge = load(path)
    assert [entry.title for entry in knowledge.entries] == ["A", "E"]
    assert [(item.row, item.reason[:20]) for item in knowledge.refused] == [
        (3, "expected 2 cells, go"),
        (4, "expected a row: fiel"),
        (5, "expected at most 150"),
        (6, "(no title): no title"),
        (7, "A: duplicate title o"),
    ]


def test_a_quote_that_never_ends_loses_what_follows_only(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text('title,text\nA,Text of A.\nB,"no end\n' + "C,Text of C.\n" * 11_000)
    knowledge = load(path)
    assert knowledge.entries[0].title == "A"
    assert any("field larger" in item.reason for item in knowledge.refused)


def test_other_encodings(tmp_path: Path) -> None:
    path = tmp_path / "latin.csv"
    path.write_bytes("title,text\nKöln,Das Rad steht im Keller.\n".encode("cp1252"))
    with pytest.raises(SourceError, match="--encoding"):
        load(path)
    assert load(path, "cp1252").entries[0].title == "Köln"
    with pytest.raises(SourceError, match="unknown encoding"):
        load(path, "cp99999")


@settings(max_examples=60, deadline=None)
@given(st.text('ab,;"\n\r\t|\x1f', max_size=120))
def test_any_rows_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "odd.csv"
    path.write_text(f"title,text\nGood,Words of it.\n{text}", newline="")
    first, *rest = entries("odd", read_table(path))
    assert isinstance(first, Entry) and first.title == "Good"
    assert all(isinstance(item, (Entry, RefusedRow)) for item in rest)
