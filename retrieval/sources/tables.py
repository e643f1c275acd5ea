"""CSV and TSV: one thing a row, by the names in the first row (records.py)."""

import csv
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TextIO

from retrieval.sources.entries import RefusedRow
from retrieval.sources.lines import encoding_of
from retrieval.sources.records import NAMES, Record, row_record
from stream.errors import SourceError

MAX_ROW_CHARS = 1 << 20  # of a line; the csv module takes 131,072 in a cell
DELIMITERS = ",;\t|"  # the one that the first row has most of; the first where none is there


def read_table(
    path: Path, name: str = "", encoding: str = "", needed: str = "title"
) -> Iterator[Record | RefusedRow]:
    """A thing a row; a row that does not fit is refused, and the others are read.

    Raises SourceError for a file that is no text, or whose first row does not name the `needed`
    column: without names nobody knows what the columns are.
    """
    name, encoding = name or path.name, encoding_of(path, encoding)
    with path.open(encoding=encoding, newline="") as file:
        long = list[int]()
        head = file.readline(MAX_ROW_CHARS)
        delimiter = max(DELIMITERS, key=head.count)
        file.seek(0)
        reader = csv.reader(_bounded(file, long), delimiter=delimiter)
        columns = _columns(next(reader, []), path, needed)
        while True:
            try:
                cells = next(reader, None)
            except csv.Error as error:
                yield RefusedRow(name, reader.line_num, f"expected a row: {error}")
                continue
            yield from (
                RefusedRow(name, n, f"expected at most {MAX_ROW_CHARS} characters") for n in long
            )
            long.clear()
            if cells is None:
                return
            if any(cell.strip() for cell in cells):
                yield from _row(cells, columns, name, reader.line_num)


def _bounded(file: TextIO, long: list[int]) -> Iterator[str]:
    """Lines; in place of one that is too long comes an empty one, and its number goes to `long`."""
    number = 0
    while line := file.readline(MAX_ROW_CHARS):
        number += 1
        if len(line) < MAX_ROW_CHARS:
            yield line
            continue
        while len(line) == MAX_ROW_CHARS and not line.endswith("\n"):
            line = file.readline(MAX_ROW_CHARS)
        long.append(number)
        yield "\n"


def _columns(cells: Sequence[str], path: Path, needed: str) -> list[str]:
    columns = [cell.strip() for cell in cells]
    plain = [column.lower() for column in columns]
    if not set(plain) & set(NAMES[needed]):
        raise SourceError(
            f"expected a first row in {path} that names the columns, {needed} among them; "
            f"got {', '.join(columns)[:80] or 'nothing'}; add a line such as {needed},text above it"
        )
    twice = sorted({column for column in plain if column and plain.count(column) > 1})
    if twice:
        raise SourceError(f"expected each column of {path} once, got {', '.join(twice)} twice")
    return columns


def _row(
    cells: Sequence[str], columns: Sequence[str], name: str, number: int
) -> Iterator[Record | RefusedRow]:
    if len(cells) > len(columns):
        yield RefusedRow(name, number, f"expected {len(columns)} cells, got {len(cells)}")
        return
    yield from row_record(dict(zip_longest(columns, cells, fillvalue="")), name, number)
