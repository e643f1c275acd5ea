"""`foveal pages`: a PDF and a scan, read, encoded and searched with the embedded models."""

import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from foveal.cli import EXIT_FAILED, EXIT_OK, main
from foveal.setup.retrieval.search import load_encoder
from stream.errors import AssetError
from tests.retrieval.sources.pdfs import pdf

Printed = pytest.CaptureFixture[str]
LINES = ["The filter is changed every three months", "", "", "", "Our office is closed on Sundays"]


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    """A PDF with text, a scanned page and a broken file; skips without the embedded encoder."""
    try:
        load_encoder()
    except AssetError as error:
        pytest.skip(str(error))
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "manual.pdf").write_bytes(pdf([LINES]))
    page = np.full((200, 640, 3), 255, np.uint8)
    cv2.putText(page, "Tigers live in Asia", (40, 110), cv2.FONT_HERSHEY_SIMPLEX, 1.5, (0,) * 3, 3)
    cv2.imwrite(str(folder / "scan.png"), page)
    (folder / "bad.pdf").write_bytes(b"%PDF-1.4 nothing")
    return folder


@pytest.mark.assets
def test_build_and_search(documents: Path, capsys: Printed) -> None:
    def told(*words: str) -> Any:
        assert main(["pages", *words, "--json"]) == EXIT_OK
        return json.loads(capsys.readouterr().out)

    change = told("build", str(documents))
    assert (change["added"], change["cells"]) == (2, 3)
    assert [one.split(":")[0] for one in change["refused"]] == ["bad.pdf"]
    index, page = change["folder"], documents.parent / "found.html"
    asked = "How often do I change the <b>filter</b>?"
    first, second = told("search", index, asked, "--html", str(page))["pages"]
    assert (first["name"], second["name"]) == ("manual.pdf#page=1", "scan.png")
    assert first["regions"][0]["text"] == LINES[0]
    x0, y0, x1, y1 = first["regions"][0]["box"]
    assert 0 < x0 < x1 < 1 and 0 < y0 < y1 < 0.2
    written = page.read_text(encoding="utf-8")
    assert written.count("data:image/jpeg") == 2 and not re.search(r"<script|https?:|<b>", written)
    (tiger,) = told("search", index, "Where do tigers live?", "-k", "1")["pages"]
    assert tiger["name"] == "scan.png" and "Asia" in tiger["regions"][0]["text"]


def test_what_is_refused(tmp_path: Path, capsys: Printed) -> None:
    for words, said in (
        (["search", str(tmp_path), "cup"], "found none"),
        (["build", str(tmp_path / "absent")], "a PDF"),
        (["build", str(tmp_path)], "found none"),
    ):
        assert main(["pages", *words]) == EXIT_FAILED
        assert said in capsys.readouterr().err
