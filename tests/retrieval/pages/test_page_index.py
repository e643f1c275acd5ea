"""Pages: lines of PDFs and of pictures, built, gone on with, and searched with their regions."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from retrieval.pages.building import PageChange, build_pages
from retrieval.pages.late_search import PageSearcher
from retrieval.pages.line_cells import LineCells
from retrieval.pages.stored import load_pages, page_writer
from retrieval.sources.pdf import page_count, page_lines
from stream.errors import AssetError, ConfigError, OutputError, QueryError, SourceError
from stream.events import Query, QueryFilter
from stream.frame import Image
from stream.geometry import Box
from tests.doubles.retrieval import HashEncoder
from tests.retrieval.sources.pdfs import pdf

KETTLE = ["The kettle boils at ninety three degrees", "and whistles.", "", "", ""]
PAGES = [[*KETTLE, "Bees sleep at night"], ["Copper conducts electricity"], []]


def read(image: Image) -> Sequence[tuple[str, Box]]:
    """A reader of a picture's one line; of a white page, none."""
    return [] if image.min() > 200 else [("A scanned lamp", (10, 10, 30, 20))]


def reader(dim: int = 128) -> LineCells:
    return LineCells(HashEncoder(dim), read)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "a.pdf").write_bytes(pdf(PAGES))
    (tmp_path / "locked.pdf").write_bytes(pdf(PAGES, encrypted=True))
    Pillow.new("RGB", (40, 40), (10, 10, 10)).save(tmp_path / "scan.png")
    (tmp_path / "bad.png").write_bytes(b"nothing")
    return {one.name: one for one in sorted(tmp_path.iterdir())}


def build(folder: Path, files: dict[str, Path]) -> PageChange:
    cells = reader()
    with page_writer(folder, cells.id, cells.dim, folder.parent, "lines") as db:
        return build_pages(db, files, cells)


def test_lines_of_a_page(files: dict[str, Path]) -> None:
    assert page_count(files["a.pdf"]) == 3
    (kettle, (x0, y0, x1, y1)), (second, below), (bees, _) = page_lines(files["a.pdf"], 1)
    assert (kettle, second, bees) == (KETTLE[0], KETTLE[1], "Bees sleep at night")
    assert x0 == pytest.approx(72 / 612, abs=0.01) and y1 == pytest.approx(72 / 792, abs=0.01)
    assert 0 < y0 < y1 <= below[3] < 1 and x0 < x1 < 1
    assert page_lines(files["a.pdf"], 3) == []
    with pytest.raises(SourceError, match="1 to 3"):
        page_lines(files["a.pdf"], 4)


def test_words_find_the_page_and_its_lines(tmp_path: Path, files: dict[str, Path]) -> None:
    change = build(tmp_path / "index", files)
    assert (change.added, change.cells) == (3, 5)
    told = sorted(map(str, change.refused))
    for line, (where, why) in zip(
        told,
        [("a.pdf row 3", "words"), ("bad.png", "picture"), ("locked.pdf", "password")],
        strict=True,
    ):
        assert line.startswith(where) and why in line
    searcher = PageSearcher(load_pages(tmp_path / "index"), reader())
    hit, *_ = searcher.find(Query("text", "kettle boils degrees", 2))
    assert hit.name == "a.pdf#page=1" and hit.texts[0] == KETTLE[0]
    (first, *_) = hit.regions
    assert first.cells == (0,) and first.score == hit.score
    evidence = searcher.search(Query("text", "scanned lamp", 1))[0]
    assert (evidence.title, evidence.text, evidence.tier) == ("scan.png", "A scanned lamp", "own")
    assert evidence.source == str(tmp_path / "scan.png")
    two = searcher.search(Query("text", "kettle degrees", 1))[0]
    assert (two.id, two.title) == ("a.pdf#page=1", "a.pdf, page 1")
    assert not searcher.search(Query("text", "lamp", filter=QueryFilter(tiers=("vetted",))))
    with pytest.raises(QueryError, match="words"):
        searcher.find(Query("image", "<image>", image=np.zeros((4, 4, 3), np.uint8)))


def test_builds_follow_their_files(tmp_path: Path, files: dict[str, Path]) -> None:
    build(tmp_path / "index", files)
    again = build(tmp_path / "index", files)
    assert (again.added, again.unchanged, again.removed) == (0, 3, 0)
    files["a.pdf"].write_bytes(pdf(PAGES[1:]))
    del files["scan.png"]
    change = build(tmp_path / "index", files)
    assert (change.added, change.unchanged, change.removed) == (1, 0, 2)
    assert load_pages(tmp_path / "index").names == ("a.pdf#page=1",)


def test_other_readers_and_folders_are_refused(tmp_path: Path, files: dict[str, Path]) -> None:
    build(tmp_path / "index", files)
    other = reader(64)
    with pytest.raises(ConfigError, match="hash-128"):
        PageSearcher(load_pages(tmp_path / "index"), other)
    with (
        pytest.raises(AssetError, match="another --out"),
        page_writer(tmp_path / "index", other.id, other.dim, tmp_path, "lines"),
    ):
        pass
    with (
        pytest.raises(OutputError, match=r"a\.pdf"),
        page_writer(tmp_path, other.id, other.dim, tmp_path, "lines"),
    ):
        pass
    with pytest.raises(AssetError, match="found none"):
        load_pages(tmp_path)
