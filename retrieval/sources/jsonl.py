"""JSON lines: one object a line, by the names of its keys (records.py)."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from retrieval.sources.entries import RefusedRow
from retrieval.sources.lines import encoding_of
from retrieval.sources.records import Record, row_record

MAX_ROW_CHARS = 1 << 24  # of one object; a longer one is refused


def read_jsonl(path: Path, name: str = "", encoding: str = "") -> Iterator[Record | RefusedRow]:
    """An object a line; a line that holds none is refused, and the others are read.

    Objects without an `id` may bear the same title: the second is known as "title #2". `name`: of
    the file in the report. Raises SourceError for a file that is no text.
    """
    known, name = Counter[str](), name or path.name
    for number, line in _rows(path, encoding_of(path, encoding)):
        for record in _read(line, name, number):
            if isinstance(record, Record) and not record.key and record.title:
                known[record.title] += 1
                again = known[record.title] > 1
                key = f"{record.title} #{known[record.title]}" if again else record.title
                yield replace(record, key=key)
            else:
                yield record


def _rows(path: Path, encoding: str) -> Iterator[tuple[int, str]]:
    """Numbered lines that hold something; JSON ends a line with a newline alone."""
    with path.open(encoding=encoding, newline="\n") as file:
        number = 0
        while line := file.readline(MAX_ROW_CHARS):
            number += 1
            rest = line
            while len(rest) == MAX_ROW_CHARS and not rest.endswith("\n"):
                rest = file.readline(MAX_ROW_CHARS)
            if line.strip():
                yield number, line


def _read(line: str, name: str, number: int) -> Iterator[Record | RefusedRow]:
    if len(line) == MAX_ROW_CHARS:
        yield RefusedRow(name, number, f"expected less than {MAX_ROW_CHARS} characters in a line")
        return
    try:
        value: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        yield RefusedRow(name, number, f"expected JSON: {error}")
        return
    if not isinstance(value, dict):
        yield RefusedRow(name, number, f"expected a JSON object, got {type(value).__name__}")
        return
    yield from row_record(value, name, number)
