"""Wikipedia's vital-article summaries (text CC BY-SA 4.0, attributed by each entry's link)."""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote as url_quote

from retrieval.sources.entries import Entry, RefusedRow
from retrieval.sources.lines import read_text
from retrieval.sources.records import Record, entries
from stream.errors import SourceError

WIKI_SOURCE = "wiki-vital"
WIKI_LICENSE = "Wikipedia, CC BY-SA 4.0"


def read_wiki(summaries: Path) -> Iterator[Entry | RefusedRow]:
    """Read {title: {"title", "extract", "description", "topic"}}; raises SourceError."""
    try:
        document = json.loads(read_text(summaries))
    except (json.JSONDecodeError, RecursionError) as error:
        raise SourceError(
            f"expected JSON in {summaries}: {error}; "
            f"fetch it again with `foveal models pull {WIKI_SOURCE}`"
        ) from error
    if not isinstance(document, dict):
        raise SourceError(
            f"expected a JSON object of title -> summary in {summaries}, "
            f"got {type(document).__name__}"
        )
    return entries(WIKI_SOURCE, _records(document, summaries.name))


def _records(document: dict[str, object], path: str) -> Iterator[Record | RefusedRow]:
    for row, (key, value) in enumerate(document.items(), start=1):
        if not isinstance(value, dict):
            yield RefusedRow(path, row, f"expected an object for {key!r}, got {value!r:.40}")
            continue
        title = str(value.get("title") or key)
        page = url_quote(title.replace(" ", "_"), safe="_(),'")
        yield Record(
            path=path,
            row=row,
            title=title,
            text=str(value.get("extract") or ""),
            description=str(value.get("description") or ""),
            topic=str(value.get("topic") or ""),
            url=f"https://en.wikipedia.org/wiki/{page}",
            license=WIKI_LICENSE,
        )
