"""PDF, read with PDFium (extra `pdf`): each page is a thing, with its text and its picture.

PDFium runs in one thread at a time: calls of this module take turns.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from retrieval.sources.entries import RefusedRow
from retrieval.sources.notes import read_note
from retrieval.sources.records import Record, iso_date
from stream.errors import SourceError
from stream.frame import Image
from stream.geometry import FloatBox

MAX_PAGE_CHARS = 1 << 18
MAX_PAGE_PIXELS = 1 << 24
MAX_RECTS = 1 << 14  # pieces of text of a page that is read by lines
POINTS_PER_INCH = 72
# A word goes on below: PDFium writes U+FFFE where a line ended in a hyphen.
_HYPHEN = re.compile(r"[\ufffe\x02]\n?|(?<=[a-zß-ÿ])-\n(?=[a-zß-ÿ])")
_DATE = re.compile(r"^D:(\d{4})(\d{2})(\d{2})")
_turn = Lock()


def read_pdf(path: Path, name: str = "", _encoding: str = "") -> Iterator[Record | RefusedRow]:
    """A record a page, "Title, page 3"; pages without text (scans) are refused by number.

    Raises SourceError for what is no PDF, has a password, or without pypdfium2.
    """
    name = name or path.name
    with _turn:
        document = _opened(path)
        told = document.get_metadata_dict()
        pages = len(document)
    title = told.get("Title", "").strip() or path.stem.replace("_", " ").replace("-", " ")
    day = _DATE.match(told.get("CreationDate", ""))
    date = iso_date("-".join(day.groups())) if day else ""
    try:
        for number in range(1, pages + 1):
            try:
                passages = read_note(_text(document, number), markdown=False).passages
            except _error() as error:
                yield RefusedRow(name, number, f"expected a page: {error}")
                continue
            if not passages:
                yield RefusedRow(name, number, "no text on this page: a scan?")
                continue
            yield Record(
                path=name,
                row=number,
                key=f"page {number}",
                title=f"{title}, page {number}",
                passages=passages,
                date=date or "",
                picture=f"{path.resolve()}#page={number}",
            )
    finally:
        with _turn:
            document.close()


def page_picture(path: Path, number: int, dpi: float = 150.0) -> Image:
    """[H, W, 3] uint8 RGB of a page, from 1; smaller where `MAX_PAGE_PIXELS` would be passed.

    Raises SourceError as `read_pdf` does, and for a page that is not there.
    """
    with _turn:
        document = _opened(path)
        try:
            if not 1 <= number <= len(document):
                raise SourceError(
                    f"expected a page from 1 to {len(document)} of {path}, got {number}"
                )
            page = document[number - 1]
            width, height = page.get_size()
            scale = dpi / POINTS_PER_INCH
            scale *= min(1.0, (MAX_PAGE_PIXELS / max(width * height * scale**2, 1)) ** 0.5)
            picture = page.render(scale=scale, rev_byteorder=True).to_numpy()[..., :3]
            return np.ascontiguousarray(picture, dtype=np.uint8)
        except _error() as error:
            raise SourceError(f"expected a page {number} in {path}: {error}") from error
        finally:
            document.close()


def page_count(path: Path) -> int:
    """Pages of a PDF; raises SourceError as `read_pdf` does."""
    with _turn:
        document = _opened(path)
        try:
            return len(document)
        finally:
            document.close()


def page_lines(path: Path, number: int) -> list[tuple[str, FloatBox]]:
    """The lines of text of a page, from 1, with boxes in shares of it; none of a scan.

    Raises SourceError as `page_picture` does.
    """
    with _turn:
        document = _opened(path)
        try:
            if not 1 <= number <= len(document):
                raise SourceError(
                    f"expected a page from 1 to {len(document)} of {path}, got {number}"
                )
            page = document[number - 1]
            width, height = page.get_size()
            words = page.get_textpage()
            pieces = []
            for n in range(min(words.count_rects(), MAX_RECTS)):
                left, bottom, right, top = words.get_rect(n)
                said = words.get_text_bounded(left, bottom, right, top).strip()
                box = (left / width, 1 - top / height, right / width, 1 - bottom / height)
                pieces.append((" ".join(_HYPHEN.sub("", said).split()), box))
            return _in_lines(pieces)
        except _error() as error:
            raise SourceError(f"expected a page {number} in {path}: {error}") from error
        finally:
            document.close()


def _in_lines(pieces: Sequence[tuple[str, FloatBox]]) -> list[tuple[str, FloatBox]]:
    """Pieces of text that follow each other at one height are a line."""
    lines: list[tuple[str, FloatBox]] = []
    for text, box in pieces:
        if not text:
            continue
        before = lines[-1][1] if lines else None
        if before is not None and -0.01 <= box[0] - before[2] <= 0.05 and _level(before, box):
            hull = (
                before[0],
                min(before[1], box[1]),
                max(before[2], box[2]),
                max(before[3], box[3]),
            )
            lines[-1] = (f"{lines[-1][0]} {text}", hull)
        else:
            lines.append((text, box))
    return lines


def _level(left: FloatBox, right: FloatBox) -> bool:
    shared = min(left[3], right[3]) - max(left[1], right[1])
    return shared > 0.5 * min(left[3] - left[1], right[3] - right[1])


def _text(document: Any, number: int) -> str:
    with _turn:
        page = document[number - 1]
        words = page.get_textpage()
        count = min(words.count_chars(), MAX_PAGE_CHARS)
        text = str(words.get_text_range(0, count)) if count else ""
        words.close()
        page.close()
    return _HYPHEN.sub("", text.replace("\r\n", "\n"))


def _opened(path: Path) -> Any:
    pdfium = _pdfium()
    try:
        return pdfium.PdfDocument(path)
    except (pdfium.PdfiumError, OSError) as error:
        if getattr(error, "err_code", None) == pdfium.raw.FPDF_ERR_PASSWORD:
            raise SourceError(
                f"expected a PDF without a password in {path}; save it again without one"
            ) from error
        raise SourceError(f"expected a PDF in {path}: {error}") from error


def _error() -> type[Exception]:
    error: type[Exception] = _pdfium().PdfiumError
    return error


def _pdfium() -> Any:
    try:
        import pypdfium2
    except ImportError as error:
        raise SourceError(
            "expected the package pypdfium2 for a .pdf file; run `pip install foveal[pdf]`"
        ) from error
    return pypdfium2
