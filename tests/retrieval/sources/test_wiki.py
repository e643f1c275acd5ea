"""Wikipedia summaries: what is kept and refused."""

import json
from pathlib import Path

import pytest

from retrieval.sources.entries import Entry, Knowledge
from retrieval.sources.wiki import read_wiki
from stream.errors import SourceError


def wiki(tmp_path: Path, document: object) -> Path:
    path = tmp_path / "summaries.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def test_wiki_entries_keep_title_topic_and_link(tmp_path: Path) -> None:
    summary = {
        "title": "Lime (fruit)",
        "extract": "A lime ( ) is a citrus fruit.\nIt is usually round and green in colour.",
        "description": "Citrus fruit",
        "topic": "Biology and health sciences",
    }
    (entry,) = read_wiki(wiki(tmp_path, {"Lime (fruit)": summary}))
    assert isinstance(entry, Entry)
    assert entry.title == "Lime (fruit)"
    assert entry.passages[0] == "A lime is a citrus fruit."
    assert len(entry.passages) == 2
    assert entry.url == "https://en.wikipedia.org/wiki/Lime_(fruit)"
    assert "CC BY-SA" in entry.license
    assert entry.entity_text == "Lime (fruit): Citrus fruit"
    assert Entry.from_json(json.loads(json.dumps(entry.as_json()))) == entry


def test_odd_entries_are_skipped_with_a_reason(tmp_path: Path) -> None:
    document = {
        "Good": {"title": "Good", "extract": "A good entry with enough words."},
        "Empty": {"title": "Empty", "extract": "  \n "},
        "Null": {"title": "Null", "extract": None},
        "Number": 5,
        "Again": {"title": "Good", "extract": "The same title once more."},
        "": {"title": "", "extract": "Text without any title at all."},
    }
    knowledge = Knowledge.collect("wiki", read_wiki(wiki(tmp_path, document)))
    assert [entry.title for entry in knowledge.entries] == ["Good"]
    assert len(knowledge.skipped) == 5
    assert "summaries.json row 5: Good: duplicate title or id" in knowledge.skipped
    assert "summaries.json row 2: Empty: no text" in knowledge.skipped


@pytest.mark.parametrize("text", ["{", "[1, 2]", "{}", '{"A": {"extract": ""}}', '"words"'])
def test_malformed_wiki_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(SourceError, match="expected"):
        Knowledge.collect("wiki", read_wiki(path))


def test_missing_and_non_text_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="expected"):
        read_wiki(tmp_path / "absent.json")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SourceError, match="UTF-8"):
        read_wiki(tmp_path / "bytes.json")
