"""CRAG-MM's published indexes, chromadb folders, read as SQLite: entities and web pages."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from retrieval.cragmm.attributes import facts
from retrieval.sources.entries import RefusedRow
from retrieval.sources.records import Record
from retrieval.sources.sentences import clean
from stream.errors import SourceError

FILE = "chroma.sqlite3"
IMAGES, PAGES = "image_embeddings", "web_search_embeddings"  # names of their collections
_ROWS = """
    SELECT e.id, m.key, m.string_value
    FROM embeddings e
    JOIN segments s ON s.id = e.segment_id
    JOIN collections c ON c.id = s.collection
    JOIN embedding_metadata m ON m.id = e.id
    WHERE c.name = ?
    ORDER BY e.id
"""


def read_cragmm(folder: Path) -> Iterator[Record | RefusedRow]:
    """Each entity that pictures of the index show, and each web page, once.

    A row that does not fit is refused. Nothing is written, and no vector is read: they are of other
    encoders. Raises SourceError for what is no index of CRAG-MM.
    """
    path = folder / FILE
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as store:
            names = {name for (name,) in store.execute("SELECT name FROM collections")}
            if not names & {IMAGES, PAGES}:
                raise SourceError(
                    f"expected a collection {IMAGES} or {PAGES} in {path}, "
                    f"got {', '.join(sorted(names)) or 'none'}"
                )
            yield from _once(_entities(store), _pages(store))
    except sqlite3.Error as error:
        raise SourceError(f"expected an index of CRAG-MM in {path}: {error}") from error


def _once(*streams: Iterator[Record | RefusedRow]) -> Iterator[Record | RefusedRow]:
    """Without what came before: many pictures show one entity, chunks are of one page."""
    seen = set[str]()
    for record in (record for stream in streams for record in stream):
        if isinstance(record, RefusedRow) or record.key not in seen:
            yield record
        if isinstance(record, Record):
            seen.add(record.key)


def _rows(store: sqlite3.Connection, collection: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, pairs in groupby(store.execute(_ROWS, (collection,)), key=itemgetter(0)):
        yield number, {key: value for _, key, value in pairs}


def _entities(store: sqlite3.Connection) -> Iterator[Record | RefusedRow]:
    for number, row in _rows(store, IMAGES):
        try:
            named, told = json.loads(row["entities"]), json.loads(row["info"])
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            yield RefusedRow(FILE, number, f"expected entities and info in JSON: {error!r}")
            continue
        for name in named if isinstance(named, list) else [named]:
            known = told.get(name) if isinstance(told, dict) else None
            yield Record(
                path=FILE,
                row=number,
                key=f"entity {clean(str(name))}",
                title=str(name),
                passages=tuple(facts(known)),
                url=str(row.get("image_url") or ""),
            )


def _pages(store: sqlite3.Connection) -> Iterator[Record | RefusedRow]:
    for number, row in _rows(store, PAGES):
        url = str(row.get("page_url") or "")
        yield Record(
            path=FILE,
            row=number,
            key=f"page {clean(url or str(row.get('page_name')))}",
            title=str(row.get("page_name") or ""),
            text=str(row.get("page_snippet") or ""),
            url=url,
            tier="unvetted",
        )
