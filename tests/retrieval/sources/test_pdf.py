"""PDF: pages by text and picture, and what is refused by name."""

import sys
from pathlib import Path

import numpy as np
import pytest

from retrieval.sources import pdf as module
from retrieval.sources.entries import Entry, RefusedRow
from retrieval.sources.folder import read_folder
from retrieval.sources.pdf import page_picture, read_pdf
from retrieval.sources.pictures import load_picture
from retrieval.sources.records import Record
from stream.errors import SourceError
from tests.retrieval.sources.pdfs import pdf

LINES = (
    "The boiler in the cellar was serviced in May by the plumber from",
    "town who came on a Monday. It needs a new valve before the win-",
    "ter begins.",
)


@pytest.fixture
def manual(tmp_path: Path) -> Path:
    path = tmp_path / "boiler_manual.pdf"
    path.write_bytes(pdf([LINES, [], ["Code: 4711", "Model: B-12"]], "Boiler manual"))
    return path


def test_each_page_is_a_record_with_its_picture(manual: Path) -> None:
    first, blank, last = read_pdf(manual)
    assert isinstance(first, Record) and isinstance(last, Record)
    assert (first.title, first.row, first.date) == ("Boiler manual, page 1", 1, "2026-05-01")
    assert list(first.passages or ())[1] == "It needs a new valve before the winter begins."
    assert list(last.passages or ()) == ["Code: 4711", "Model: B-12"]
    assert isinstance(blank, RefusedRow) and blank.row == 2 and "scan" in blank.reason
    picture = load_picture(last.picture)
    assert picture.shape[0] in (1650, 1651) and picture.shape[1:] == (1275, 3)
    ink = np.argwhere(picture.mean(axis=2) < 128)
    assert ink.min(axis=0)[0] > 100 and 300 > ink.max(axis=0)[1] > 150  # two short lines on top


def test_pages_in_a_folder_have_ids_by_path(manual: Path) -> None:
    entries = [item for item in read_folder(manual.parent) if isinstance(item, Entry)]
    name = manual.parent.name
    assert [entry.id for entry in entries] == [
        f"{name}:boiler_manual.pdf#page 1",
        f"{name}:boiler_manual.pdf#page 3",
    ]


def test_a_password_is_told_by_name(tmp_path: Path) -> None:
    path = tmp_path / "secret.pdf"
    path.write_bytes(pdf([["Words of a secret."]], encrypted=True))
    with pytest.raises(SourceError, match=r"without a password in .*secret\.pdf"):
        list(read_pdf(path))
    (tmp_path / "a.md").write_text("The key is under the mat.")
    entry, refused = read_folder(tmp_path)
    assert isinstance(entry, Entry) and isinstance(refused, RefusedRow)
    assert refused.path == "secret.pdf" and "password" in refused.reason


@pytest.mark.parametrize("data", [b"", b"%PDF-1.4\n", b"no pdf", pdf([["a"]])[:120]])
def test_what_is_no_pdf(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "bad.pdf"
    path.write_bytes(data)
    with pytest.raises(SourceError, match=r"expected a PDF in .*bad\.pdf"):
        list(read_pdf(path))


def test_pages_are_bounded(manual: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceError, match="a page from 1 to 3"):
        page_picture(manual, 4)
    monkeypatch.setattr(module, "MAX_PAGE_PIXELS", 10_000)
    height, width, _ = page_picture(manual, 1).shape
    assert height * width <= 10_300
    monkeypatch.setattr(module, "MAX_PAGE_CHARS", 10)
    first = next(read_pdf(manual))
    assert isinstance(first, Record) and sum(map(len, first.passages or ())) <= 10


def test_without_the_package(manual: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pypdfium2", None)
    with pytest.raises(SourceError, match=r"foveal\[pdf\]"):
        list(read_pdf(manual))
