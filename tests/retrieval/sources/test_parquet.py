"""Parquet: rows, columns that are left out by name, files that are none."""

import sys
from datetime import datetime
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from retrieval.sources.entries import Entry, RefusedRow
from retrieval.sources.parquet import read_parquet
from retrieval.sources.records import entries
from stream.errors import SourceError


def write(path: Path, **columns: object) -> Path:
    pyarrow.parquet.write_table(pyarrow.table(columns), path, row_group_size=2)
    return path


def test_rows(tmp_path: Path) -> None:
    taken = pyarrow.array([datetime(2026, 5, 1, 12, 30, 0, 999)] * 3, pyarrow.timestamp("ns"))
    path = write(
        tmp_path / "a.parquet",
        Title=["Kettle", "Fuses", None],
        text=["It is Anna's.", "They are in the drawer.", "Words alone."],
        tags=[["kitchen", "own"], [], None],
        date=taken,
    )
    kettle, fuses, refused = entries("a", read_parquet(path))
    assert (
        isinstance(kettle, Entry) and isinstance(fuses, Entry) and isinstance(refused, RefusedRow)
    )
    assert (kettle.tags, kettle.date) == (("kitchen", "own"), "2026-05-01T12:30:00")
    assert fuses.passages == ("They are in the drawer.",)
    assert (refused.row, refused.reason) == (3, "(no title): no title")


def test_nested_columns_are_refused_by_name_and_the_rest_is_read(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.parquet",
        title=["Kettle"],
        text=["It is Anna's."],
        meta=[{"deep": 1}],
        vector=[[1.0, 2.0]],
        image=[b"\xff\xd8"],
    )
    *refused, entry = entries("a", read_parquet(path))
    assert isinstance(entry, Entry) and entry.picture == ""
    assert [str(item).split(":")[1].split()[2] for item in refused] == ["meta", "vector", "image"]
    assert "nested" in str(refused[0]) and "bytes" in str(refused[2])


def test_a_nested_title_leaves_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", title=[{"en": "Kettle"}], text=["It is Anna's."])
    with pytest.raises(SourceError, match="a column title or name of text"):
        list(read_parquet(path))


def test_files_that_are_none_or_torn(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", title=["a"] * 500, text=["words " * 20] * 500)
    data = path.read_bytes()
    for bad in (b"", b"PAR1", data[:100], data[: len(data) // 2]):
        path.write_bytes(bad)
        with pytest.raises(SourceError, match="expected a Parquet file"):
            list(read_parquet(path))
    path.write_bytes(data[:4] + bytes(200) + data[204:])  # the footer is whole, the rows are not
    *_, last = read_parquet(path)
    assert isinstance(last, RefusedRow) and "expected a row" in last.reason


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(SourceError, match=r"foveal\[datasets\]"):
        list(read_parquet(tmp_path / "a.parquet"))
