"""CRAG-MM's indexes without chromadb: entities, pages, and rows that do not fit."""

import json
from pathlib import Path

import pytest

from foveal.setup.retrieval.sources import SourceOptions, read_source
from retrieval.cragmm.index import IMAGES, PAGES, read_cragmm
from retrieval.sources.entries import RefusedRow
from retrieval.sources.records import Record
from stream.errors import SourceError
from tests.retrieval.cragmm.chroma import write


def pictured(name: object, url: str, **attributes: object) -> dict[str, object]:
    names = name if isinstance(name, list) else [name]
    info = {str(one): attributes for one in names}
    return {"image_url": url, "entities": json.dumps(name), "info": json.dumps(info)}


def test_each_entity_is_known_once(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        pictured(["Red Bus"], "https://x/1.jpg", maker="[[Associated|AEC]]", seats=64),
        pictured("Red Bus", "https://x/2.jpg", maker="AEC"),
        pictured(["Blue Bus", "Depot"], "https://x/3.jpg", built="{{date|{{y|1999}}}} 1999<br/>"),
        {"image_url": "https://x/4.jpg", "entities": "[", "info": "{}"},
        {"image_url": "https://x/5.jpg"},
        pictured("Nothing", "https://x/6.jpg"),
    ]
    knowledge, _ = read_source(str(write(tmp_path / "images", IMAGES, rows)))
    assert [(e.title, e.passages, e.url, e.tier) for e in knowledge.entries] == [
        ("Red Bus", ("maker: AEC", "seats: 64"), "https://x/1.jpg", "vetted"),
        ("Blue Bus", ("built: 1999,",), "https://x/3.jpg", "vetted"),
        ("Depot", ("built: 1999,",), "https://x/3.jpg", "vetted"),
    ]
    assert [item.row for item in knowledge.refused] == [4, 5, 6]


def test_pages_are_unvetted_and_chunks_are_one(tmp_path: Path) -> None:
    page = {"page_name": "Buses", "page_snippet": "A bus is red.", "page_url": "https://b"}
    folder = write(tmp_path / "web", PAGES, [page, page, {**page, "page_url": "https://c"}])
    records = list(read_cragmm(folder))
    assert all(isinstance(record, Record) for record in records) and len(records) == 2
    knowledge, _ = read_source(str(folder), SourceOptions())
    assert {entry.tier for entry in knowledge.entries} == {"unvetted"}
    assert [entry.id for entry in knowledge.entries] == ["web:page https://b", "web:page https://c"]


def test_nothing_is_written(tmp_path: Path) -> None:
    folder = write(tmp_path / "web", PAGES, [{"page_name": "A", "page_snippet": "It is A."}])
    before = (folder / "chroma.sqlite3").read_bytes()
    assert not any(isinstance(item, RefusedRow) for item in read_cragmm(folder))
    assert [path.name for path in folder.iterdir()] == ["chroma.sqlite3"]
    assert (folder / "chroma.sqlite3").read_bytes() == before


def test_what_is_no_index(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="got other"):
        list(read_cragmm(write(tmp_path / "other", "other", [])))
    (tmp_path / "other" / "chroma.sqlite3").write_bytes(b"no database at all" * 100)
    with pytest.raises(SourceError, match="expected an index of CRAG-MM"):
        list(read_cragmm(tmp_path / "other"))
