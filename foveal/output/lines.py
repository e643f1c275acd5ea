"""JSON lines that are on disk at once, and the folder that they lie in."""

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from stream.writing import Writer, writing


class LineFile(Writer):
    """A JSONL file that is flushed after each line; errors name the file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with writing(path):
            self._file: TextIO = path.open("w", encoding="utf-8", newline="\n")

    def write(self, record: Mapping[str, Any]) -> None:
        """Append one record; raises OutputError when the disk takes no more."""
        with writing(self._path, ValueError):  # a closed file's
            self._file.write(json_line(record))
            self._file.flush()

    def close(self) -> None:
        """End the file. A full disk was reported by the write that met it."""
        with suppress(OSError):
            self._file.close()


def prepare(folder: Path, results: Sequence[str]) -> None:
    """Make the folder, and remove an earlier run's results, so that no two runs mix."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for pattern in results:
            for path in folder.glob(pattern):
                path.unlink()


def json_line(record: Mapping[str, Any]) -> str:
    """One line of strict JSON: numpy numbers become plain ones, NaN and infinity null."""
    try:
        line = _dumped(record, ensure_ascii=False)
    except (TypeError, ValueError):  # keys that are no names, NaN, infinity
        record = _plain(record)
        line = _dumped(record, ensure_ascii=False)
    try:
        line.encode("utf-8")
    except UnicodeEncodeError:  # lone surrogates: only their escapes are valid UTF-8
        line = _dumped(record, ensure_ascii=True)
    return line + "\n"


def _dumped(record: Mapping[str, Any], *, ensure_ascii: bool) -> str:
    return json.dumps(
        record,
        ensure_ascii=ensure_ascii,
        separators=(",", ":"),
        allow_nan=False,
        default=_plain,
    )


def _plain(value: Any) -> Any:
    """JSON values only, so that a stray numpy number or NaN does not end a session."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)
