"""From PDF files and pictures of pages to an index of pages."""

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from retrieval.encoders.text import Progress
from retrieval.pages.cells import CellReader
from retrieval.pages.stored import drop_pages, known_keys, put_page
from retrieval.sources.entries import RefusedRow
from retrieval.sources.pdf import page_count
from stream.errors import QueryError, SourceError


@dataclass(frozen=True, slots=True)
class PageChange:
    """What a build did."""

    added: int
    unchanged: int
    removed: int
    cells: int  # of the pages added
    refused: tuple[RefusedRow, ...]


def build_pages(
    db: sqlite3.Connection,
    files: Mapping[str, Path],
    reader: CellReader,
    progress: Progress | None = None,
) -> PageChange:
    """Bring an index to what `files` (by their names) hold; what is unchanged stays.

    A file or page that cannot be read is refused by name, and the others go in.
    """
    known, kept, added, cells = known_keys(db), set[str](), 0, 0
    refused: list[RefusedRow] = []
    for number, (file, path) in enumerate(files.items(), start=1):
        try:
            content = _digest(path)
            for page in _pages(path):
                name = file if page is None else f"{file}#page={page}"
                key = hashlib.sha256(content + f"{page} {reader.id}".encode()).digest()
                kept.add(name)
                if known.get(name) == key:
                    continue
                try:
                    grid = reader.read(path, page)
                    put_page(db, name, key, grid)
                    added, cells = added + 1, cells + len(grid.vectors)
                except (SourceError, QueryError) as error:
                    kept.discard(name)
                    refused.append(RefusedRow(file, page, str(error)))
        except (SourceError, OSError) as error:
            refused.append(RefusedRow(file, None, str(error)))
        if progress is not None:
            progress(number, len(files))
    gone = [name for name in known if name not in kept]
    drop_pages(db, gone)
    return PageChange(added, len(kept) - added, len(gone), cells, tuple(refused))


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _pages(path: Path) -> Iterator[int | None]:
    if path.suffix.lower() == ".pdf":
        yield from range(1, page_count(path) + 1)
    else:
        yield None
