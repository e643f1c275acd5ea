"""JSON lines: what is read, told apart and refused by line."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.sources import jsonl
from retrieval.sources.entries import Entry, Knowledge, RefusedRow
from retrieval.sources.jsonl import read_jsonl
from retrieval.sources.records import entries, row_record
from stream.errors import SourceError


def load_jsonl(path: Path) -> Knowledge:
    return Knowledge.collect(path.stem, entries(path.stem, read_jsonl(path)))


def test_jsonl(tmp_path: Path) -> None:
    path = tmp_path / "facts.jsonl"
    path.write_text('{"title": "A", "text": "Text of the entry A."}\n\n{"title": "B"}\n')
    knowledge = load_jsonl(path)
    assert [entry.id for entry in knowledge.entries] == ["facts:A"]
    assert knowledge.refused == (RefusedRow("facts.jsonl", 3, "B: no text"),)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("not json", "expected JSON"),
        ("[1]", "expected a JSON object, got list"),
        ("null", "expected a JSON object, got NoneType"),
        ("[" * 100_000, "expected JSON"),
        ('{"title": "B", "text": "' + "x" * 300 + '"}', "less than 300 characters"),
        ('{"text": "Words without any title."}', "no title"),
        ('{"title": "A", "id": "A", "text": "A second A."}', "duplicate title or id"),
        ('{"title": "B", "text": {"words": "inside"}}', "no text"),
        ('{"title": "B", "text": "Text of B.", "tier": "holy"}', "expected a tier of own"),
    ],
)
def test_a_line_is_refused_and_the_others_are_read(
    tmp_path: Path, line: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "300" in reason:
        monkeypatch.setattr(jsonl, "MAX_ROW_CHARS", 300)
    path = tmp_path / "facts.jsonl"
    good = [f'{{"title": "{name}", "text": "Text of {name}."}}' for name in ("A", "C")]
    path.write_text("\n".join([good[0], line, good[1]]))
    knowledge = load_jsonl(path)
    assert [entry.title for entry in knowledge.entries] == ["A", "C"]
    (refused,) = knowledge.refused
    assert refused.row == 2 and reason in refused.reason


def test_what_a_record_may_have_beside_its_text(tmp_path: Path) -> None:
    path = tmp_path / "facts.jsonl"
    told = {"title": "Kettle", "id": "k1", "text": "It is Anna's.", "tags": "kitchen; #own"}
    more = {"Date": "2026-05-01T12:00:00+02:00", "tier": "unvetted", "licence": "CC0"}
    path.write_text(json.dumps(told | more))
    (entry,) = load_jsonl(path).entries
    assert (entry.id, entry.date, entry.tags) == (
        "facts:k1",
        "2026-05-01T10:00:00",
        ("kitchen", "own"),
    )
    assert (entry.tier, entry.license) == ("unvetted", "CC0")


def test_a_date_that_is_none_costs_the_date_alone(tmp_path: Path) -> None:
    path = tmp_path / "facts.jsonl"
    path.write_text('{"title": "A", "text": "Text of A.", "date": "last summer"}')
    knowledge = load_jsonl(path)
    assert knowledge.entries[0].date == "" and "the date alone" in knowledge.refused[0].reason


def test_no_text_at_all(tmp_path: Path) -> None:
    path = tmp_path / "facts.jsonl"
    path.write_text("[1]\n")
    with pytest.raises(SourceError, match="at least one entry.*JSON object"):
        load_jsonl(path)
    path.write_bytes(b"\xff\xff")
    with pytest.raises(SourceError, match="UTF-8"):
        load_jsonl(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=20) | st.dates().map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
NAMES = st.sampled_from(["id", "title", "text", "date", "tags", "tier", "url", "where"])


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(NAMES | st.text(max_size=8), JSON))
def test_any_object_is_read_or_refused(row: dict[str, object]) -> None:
    for item in entries("s", row_record(row, "a", 1)):
        assert isinstance(item, (Entry, RefusedRow))
        if isinstance(item, Entry):
            json.dumps(item.as_json()).encode()
            assert item.title and all(passage.strip() for passage in item.passages)
            "".join([item.title, *item.passages, item.url, *item.tags]).encode("utf-8")


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
