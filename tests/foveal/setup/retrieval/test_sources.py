"""Sources by name, several in one index, and the example of docs/sources.md."""

import json
import re
from pathlib import Path

import pytest

from foveal.setup.retrieval.sources import SourceOptions, read_source, stream_source
from retrieval.sources.entries import Entry
from retrieval.sources.files import FORMATS
from stream.errors import SourceError


def notes(folder: Path, text: str = "The key is under the mat.") -> Path:
    folder.mkdir(parents=True)
    (folder / "a.md").write_text(text)
    return folder


def test_several_sources_are_one_index(tmp_path: Path) -> None:
    (tmp_path / "things.csv").write_text("title,where\nFuses,blue drawer\nBroken,a,b\n")
    sources = [str(notes(tmp_path / "home" / "notes")), str(tmp_path / "things.csv")]
    knowledge, digest = read_source(sources)
    assert knowledge.source == "notes+things"
    assert [(e.id, e.tier) for e in knowledge.entries] == [
        ("notes:a.md", "own"),
        ("things:Fuses", "vetted"),
    ]
    assert [str(item) for item in knowledge.refused] == [
        "things.csv row 3: expected 2 cells, got 3"
    ]
    assert digest == read_source(sources)[1]
    unvetted, other = read_source(sources, SourceOptions(tier="unvetted"))
    assert {entry.tier for entry in unvetted.entries} == {"unvetted"} and other != digest


def test_folders_of_one_name_are_told_apart(tmp_path: Path) -> None:
    sources = [str(notes(tmp_path / place / "notes")) for place in ("home", "work")]
    knowledge, _ = read_source(sources)
    assert [entry.id for entry in knowledge.entries] == ["home/notes:a.md", "work/notes:a.md"]


@pytest.mark.parametrize("name", ["nothing", "page.html"])
def test_what_is_no_source(tmp_path: Path, name: str) -> None:
    (tmp_path / "page.html").write_text("<p>words</p>")
    with pytest.raises(SourceError, match=r"expected wiki-vital, a folder, or a file.*\.csv"):
        stream_source(str(tmp_path / name))


@pytest.fixture
def document() -> str:
    return (Path(__file__).parents[4] / "docs" / "sources.md").read_text()


def test_the_notes_of_the_document(document: str, tmp_path: Path) -> None:
    found = re.search(r"^    ---\n.*?(?=^becomes)", document, re.MULTILINE | re.DOTALL)
    assert found is not None
    text = re.sub(r"^    ", "", found[0], flags=re.MULTILINE)
    (entry,) = read_source(str(notes(tmp_path / "n", text)))[0].entries
    assert (entry.title, entry.date, entry.tags) == ("Boiler", "2026-05-01", ("home", "heating"))
    told = re.sub(r"\s+", " ", document)
    assert len(entry.passages) == 3
    assert all(f'"{passage}"' in told for passage in entry.passages)


def test_the_rows_of_the_document(document: str, tmp_path: Path) -> None:
    line = next(line for line in document.splitlines() if line.startswith('    {"id"'))
    (tmp_path / "a.jsonl").write_text(line)
    table = re.search(r"^    title,text,tags\n.*?\n", document, re.MULTILINE)
    row = next(line for line in document.splitlines() if line.startswith("    Kettle,"))
    assert table is not None and json.loads(line)
    (tmp_path / "b.csv").write_text(f"title,text,tags\n{row.strip()}\n")
    one, other = (next(iter(stream_source(str(tmp_path / name)))) for name in ("a.jsonl", "b.csv"))
    assert isinstance(one, Entry) and isinstance(other, Entry)
    assert (one.id, other.id) == ("a:k1", "b:Kettle") and one.passages == other.passages


def test_every_format_is_in_the_document(document: str) -> None:
    assert all(f"`{suffix}`" in document for suffix in FORMATS)
