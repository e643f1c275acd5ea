"""Reading knowledge sources: what is kept, skipped and refused."""

import json
from pathlib import Path

import pytest

from retrieval.sources.entries import Entry, Refused, load_jsonl, load_wiki
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
    (entry,) = load_wiki(wiki(tmp_path, {"Lime (fruit)": summary})).entries
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
    knowledge = load_wiki(wiki(tmp_path, document))
    assert [entry.title for entry in knowledge.entries] == ["Good"]
    assert len(knowledge.skipped) == 5
    assert "Good: duplicate title" in knowledge.skipped
    assert "Empty: no text" in knowledge.skipped


@pytest.mark.parametrize("text", ["{", "[1, 2]", "{}", '{"A": {"extract": ""}}', '"words"'])
def test_malformed_wiki_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(SourceError, match="expected"):
        load_wiki(path)


def test_missing_and_non_text_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="expected"):
        load_wiki(tmp_path / "absent.json")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SourceError, match="UTF-8"):
        load_wiki(tmp_path / "bytes.json")


def test_jsonl(tmp_path: Path) -> None:
    path = tmp_path / "facts.jsonl"
    path.write_text('{"title": "A", "text": "Text of the entry A."}\n\n{"title": "B"}\n')
    knowledge = load_jsonl(path)
    assert [entry.id for entry in knowledge.entries] == ["facts:A"]
    assert knowledge.skipped == ("B: no text",)
    path.write_text('{"title": "A", "text": "Text of A."}\nnot json\n')
    with pytest.raises(SourceError, match="line 2"):
        load_jsonl(path)
    path.write_text("[1]\n")
    with pytest.raises(SourceError, match="object on line 1"):
        load_jsonl(path)


def test_records_of_one_title_are_both_kept(tmp_path: Path) -> None:
    path = tmp_path / "facts.jsonl"
    lines = [{"title": "Notes", "text": f"The thing number {n} is there."} for n in range(3)]
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8-sig")
    knowledge = load_jsonl(path)
    assert [entry.id for entry in knowledge.entries] == [
        "facts:Notes",
        "facts:Notes #2",
        "facts:Notes #3",
    ]
    assert {entry.title for entry in knowledge.entries} == {"Notes"}


def test_a_line_ends_where_json_ends_it(tmp_path: Path) -> None:
    path = tmp_path / "facts.jsonl"
    record = {"title": "Cup", "text": "A cup is a small\u2028open container."}
    path.write_text(json.dumps(record, ensure_ascii=False) + "\r\n", encoding="utf-8")
    (entry,) = load_jsonl(path).entries
    assert entry.passages == ("A cup is a small open container.",)


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
    assert str(Refused("a.csv", 7, "no text")) == "a.csv row 7: no text"
    assert str(Refused("a.txt", None, "expected UTF-8 text")) == "a.txt: expected UTF-8 text"


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
