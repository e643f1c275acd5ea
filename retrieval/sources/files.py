"""Formats of one file, by suffix."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from retrieval.sources.entries import RefusedRow
from retrieval.sources.jsonl import read_jsonl
from retrieval.sources.parquet import read_parquet
from retrieval.sources.pdf import read_pdf
from retrieval.sources.records import Record
from retrieval.sources.tables import read_table

# Given the file, its name in the report and the encoding of text that does not say its own.
RecordReader = Callable[[Path, str, str], Iterator[Record | RefusedRow]]
FORMATS: Mapping[str, RecordReader] = {
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".csv": read_table,
    ".tsv": read_table,
    ".parquet": read_parquet,
    ".pdf": read_pdf,
}


def read_file(path: Path, name: str = "", encoding: str = "") -> Iterator[Record | RefusedRow]:
    """Rows or pages; raises SourceError for a file that cannot be read at all."""
    return FORMATS[path.suffix.lower()](path, name or path.name, encoding)
