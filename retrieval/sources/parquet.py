"""Parquet, read with pyarrow (extra `datasets`): one thing a row, by the names of its columns."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from retrieval.sources.entries import RefusedRow
from retrieval.sources.records import NAMES, Record, row_record
from stream.errors import SourceError

BATCH_ROWS = 256  # in memory at once


def read_parquet(path: Path, name: str = "", _encoding: str = "") -> Iterator[Record | RefusedRow]:
    """A thing a row; columns that hold others (structs, lists but of tags) or bytes are refused by
    name, and the rest is read.

    Raises SourceError for what is no Parquet, has no column of titles, or without pyarrow.
    """
    name = name or path.name
    arrow = _pyarrow()
    try:
        file = arrow.parquet.ParquetFile(path)
    except (OSError, arrow.ArrowException) as error:
        raise SourceError(f"expected a Parquet file in {path}: {error}") from error
    with file:
        columns = list[str]()
        for field in file.schema_arrow:
            if reason := _unfit(arrow, field):
                yield RefusedRow(name, None, f"the column {field.name} alone: {reason}")
            else:
                columns.append(field.name)
        if not {column.strip().lower() for column in columns} & set(NAMES["title"]):
            raise SourceError(
                f"expected a column title or name of text in {path}, got {', '.join(columns)[:80]}"
            )
        number = 0
        try:
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=columns):
                for row in _plain(arrow, batch).to_pylist():
                    number += 1
                    yield from row_record(row, name, number)
        except (OSError, ValueError, arrow.ArrowException) as error:
            yield RefusedRow(name, number + 1, f"expected a row: {error}; what follows is not read")


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise SourceError(
            "expected the package pyarrow for a .parquet file; run `pip install foveal[datasets]`"
        ) from error
    return pyarrow


def _unfit(arrow: Any, field: Any) -> str:
    """Why a column is not read; "" for one that is."""
    kind, types = field.type, arrow.types
    if field.name.strip().lower() in NAMES["tags"] and types.is_list(kind):
        kind = kind.value_type
    if types.is_nested(kind):
        return f"expected plain values, got nested ones ({field.type})"
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return f"expected text, got bytes ({field.type})"
    return ""


def _plain(arrow: Any, batch: Any) -> Any:
    """With times in microseconds, which Python has."""
    fields = [
        field.with_type(arrow.timestamp("us", field.type.tz))
        if arrow.types.is_timestamp(field.type)
        else field
        for field in batch.schema
    ]
    table = arrow.Table.from_batches([batch])
    return table.cast(arrow.schema(fields), safe=False)
