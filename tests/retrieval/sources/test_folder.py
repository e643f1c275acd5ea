"""Folders of notes: what is read, told apart, and named when it is left out."""

from pathlib import Path

import pytest

from retrieval.sources.folder import load_folder
from stream.errors import SourceError


def test_a_folder_of_notes(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "blue_mug.txt").write_text("The blue mug was made in Leeds in 1998.")
    (tmp_path / "deep" / "x.MD").write_text("# The red door\n\nIt leads to the garden shed.")
    knowledge = load_folder(tmp_path)
    assert {entry.title for entry in knowledge.entries} == {"blue mug", "The red door"}
    assert all("#" not in entry.passages[0] for entry in knowledge.entries)
    assert [entry.url for entry in knowledge.entries] == ["blue_mug.txt", "deep/x.MD"]
    with pytest.raises(SourceError, match=r"\.txt or \.md"):
        load_folder(tmp_path / "nothing")


def test_notes_of_one_heading_are_both_kept(tmp_path: Path) -> None:
    for name, text in (
        ("a", "The boiler was serviced in May."),
        ("b", "The car needs winter tyres soon."),
        ("deep/a", "The deep one is about something else."),
    ):
        (tmp_path / "deep").mkdir(exist_ok=True)
        (tmp_path / f"{name}.md").write_text(f"# Notes\n{text}")
    knowledge = load_folder(tmp_path)
    assert [entry.title for entry in knowledge.entries] == [
        "Notes (a)",
        "Notes (b)",
        "Notes (deep/a)",
    ]
    assert len({entry.id for entry in knowledge.entries}) == 3 and knowledge.skipped == ()


def test_hidden_files_are_no_notes(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("The key is under the mat.")
    (tmp_path / "._a.md").write_bytes(b"\x00\x05\x16\x07\xff\xfe\xb0")
    (tmp_path / ".trash").mkdir()
    (tmp_path / ".trash" / "old.md").write_text("The key is in the shed no more.")
    knowledge = load_folder(tmp_path)
    assert len(knowledge.entries) == 1 and knowledge.skipped == ()


def test_what_is_left_out_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("The key is under the mat.")
    (tmp_path / "latin.txt").write_bytes("Grüße aus Köln".encode("latin-1"))
    (tmp_path / "empty.md").write_text("")
    (tmp_path / "list.csv").write_text("thing,where\n")
    (tmp_path / "shelf.jpg").write_bytes(b"\xff\xd8")
    knowledge = load_folder(tmp_path)
    assert len(knowledge.entries) == 1
    assert [text.split(":")[0] for text in sorted(knowledge.skipped)] == [
        "empty",
        "latin.txt",
        "list.csv",
        "shelf.jpg",
    ]
    assert "expected UTF-8" in " ".join(knowledge.skipped)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_that_say_so(tmp_path: Path, encoding: str) -> None:
    text = "# Köln\nDas Rad steht bei der Tür im Keller.\n"
    (tmp_path / "a.md").write_text(text, encoding=encoding)
    (entry,) = load_folder(tmp_path).entries
    assert entry.title == "Köln" and entry.passages == ("Das Rad steht bei der Tür im Keller.",)
