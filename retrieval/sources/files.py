"""Formats of one file, by suffix."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from retrieval.sources.entries import Refused
from retrieval.sources.jsonl import read_jsonl
from retrieval.sources.records import Record

# Given the file, its name in the report and the encoding of text that does not say its own.
RecordReader = Callable[[Path, str, str], Iterator[Record | Refused]]
FORMATS: Mapping[str, RecordReader] = {".jsonl": read_jsonl, ".ndjson": read_jsonl}


def read_file(path: Path, name: str = "", encoding: str = "") -> Iterator[Record | Refused]:
    """Rows or pages; raises SourceError for a file that cannot be read at all."""
    return FORMATS[path.suffix.lower()](path, name or path.name, encoding)
