"""Folders of notes: what is read, told apart, and named when it is left out."""

import sys
import tracemalloc
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.sources import records
from retrieval.sources.entries import Entry, Knowledge, RefusedRow
from retrieval.sources.folder import read_folder
from stream.errors import SourceError


def load_folder(folder: Path, encoding: str = "") -> Knowledge:
    return Knowledge.collect(folder.name, read_folder(folder, encoding))


def test_a_folder_of_notes(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "blue_mug.txt").write_text("The blue mug was made in Leeds in 1998.")
    (tmp_path / "deep" / "x.MD").write_text("# The red door\n\nIt leads to the garden shed.")
    knowledge = load_folder(tmp_path)
    assert {entry.title for entry in knowledge.entries} == {"blue mug", "The red door"}
    assert all("#" not in entry.passages[0] for entry in knowledge.entries)
    assert [entry.url for entry in knowledge.entries] == ["blue_mug.txt", "deep/x.MD"]
    with pytest.raises(SourceError, match="expected a folder"):
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
    (tmp_path / "list.xls").write_text("thing,where\n")
    (tmp_path / "shelf").write_bytes(b"\xff\xd8")
    knowledge = load_folder(tmp_path)
    assert len(knowledge.entries) == 1
    assert [text.split(":")[0] for text in sorted(knowledge.skipped)] == [
        "empty.md",
        "latin.txt",
        "list.xls",
        "shelf",
    ]
    assert "expected UTF-8" in " ".join(knowledge.skipped)
    told = load_folder(tmp_path, "latin-1").entries
    assert [entry.passages for entry in told if entry.title == "latin"] == [("Grüße aus Köln",)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings_that_say_so(tmp_path: Path, encoding: str) -> None:
    text = "# Köln\nDas Rad steht bei der Tür im Keller.\n"
    (tmp_path / "a.md").write_text(text, encoding=encoding)
    (entry,) = load_folder(tmp_path).entries
    assert entry.title == "Köln" and entry.passages == ("Das Rad steht bei der Tür im Keller.",)


def test_front_matter_dates_and_tags_an_entry(tmp_path: Path) -> None:
    front = "---\ntitle: Boiler\ndate: 2026-05-01\ntags: [home, heating]\nlicense: mine\n---\n"
    (tmp_path / "a.md").write_text(f"{front}# Service\n- The valve was changed in May\n")
    (tmp_path / "b.md").write_text("---\ndate: last summer\n---\nThe key is under the mat.")
    (tmp_path / "c.md").write_text("---\ntags: [a\n---\nThe door is locked at ten.")
    knowledge = load_folder(tmp_path)
    boiler, key, door = knowledge.entries
    assert (boiler.title, boiler.date, boiler.tags) == ("Boiler", "2026-05-01", ("home", "heating"))
    assert (boiler.license, boiler.tier) == ("mine", "own")
    assert boiler.passages == ("Service: The valve was changed in May",)
    assert key.passages == ("The key is under the mat.",) and key.date == ""
    assert door.passages == ("The door is locked at ten.",)
    assert [refused.path for refused in knowledge.refused] == ["b.md", "c.md"]
    assert "ISO 8601" in knowledge.refused[0].reason and "YAML" in knowledge.refused[1].reason


def test_rows_in_a_folder_are_known_by_their_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text('{"title": "Cup", "text": "It is blue."}\n{\n')
    knowledge = load_folder(tmp_path)
    name = tmp_path.name
    assert [e.id for e in knowledge.entries] == [f"{name}:a.jsonl#Cup", f"{name}:b.jsonl#Cup"]
    assert [(r.path, r.row) for r in knowledge.refused] == [("a.jsonl", 2), ("b.jsonl", 2)]


def test_a_long_document_comes_in_parts_and_never_lies_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "PART_PASSAGES", 250)
    path = tmp_path / "long.md"
    with path.open("w") as file:
        file.write("# Log\n\n")
        for number in range(2000):
            head = f"## Day {number}\n\n" if number % 100 == 0 else ""
            file.write(f"{head}- The thing of number {number} lies in the cellar, on a shelf\n")
    tracemalloc.start()
    parts = passages = 0
    for item in read_folder(tmp_path):
        assert isinstance(item, Entry) and len(item.passages) <= 250
        parts, passages, last = parts + 1, passages + len(item.passages), item
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (parts, passages) == (8, 2000) and last.title == "Log (part 8)"
    assert last.passages[-1] == "Day 1900: The thing of number 1999 lies in the cellar, on a shelf"
    assert peak < 2 << 20


def test_what_cannot_be_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("The key is under the mat.")
    (tmp_path / "gone.md").symlink_to(tmp_path / "nothing")
    (tmp_path / "binary.txt").write_bytes(b"MZ\x00\x01 words")
    named = ["binary.txt", "gone.md"]
    if sys.platform == "linux":  # others have no such names
        (tmp_path / "b\udcff.md").write_text("The name is no UTF-8.")
        named.insert(0, "b?.md")
    refused = load_folder(tmp_path).refused
    assert sorted(item.path for item in refused) == named
    with pytest.raises(SourceError, match="at least one entry"):
        (tmp_path / "a.md").unlink()
        load_folder(tmp_path)


@settings(max_examples=25, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["md", "txt", "jsonl"]))
def test_any_bytes_are_read_or_refused(data: bytes, suffix: str) -> None:
    with TemporaryDirectory() as folder:
        (Path(folder) / "good.md").write_text("The key is under the mat.")
        (Path(folder) / f"odd.{suffix}").write_bytes(data)
        items = list(read_folder(Path(folder)))
    assert any(isinstance(item, Entry) and item.title == "good" for item in items)
    for item in items:
        assert isinstance(item, (Entry, RefusedRow)) and str(item).encode()
