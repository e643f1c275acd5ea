"""A session's output folder: JSON lines that are on disk at once, errors that name the file."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self, TextIO

from foveal.output.answer_records import json_line
from stream.errors import OutputError


class LineFile:
    """A JSONL file that is flushed after each line; errors name the file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file: TextIO = path.open("w", encoding="utf-8", newline="\n")
        except OSError as error:
            raise output_error(path, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # a full disk was reported by the write that met it
            self._file.close()

    def write(self, record: Mapping[str, Any]) -> None:
        """Append one record; raises OutputError when the disk takes no more."""
        try:
            self._file.write(json_line(record))
            self._file.flush()
        except OSError as error:
            raise output_error(self._path, error) from error


def prepare(folder: Path, results: Sequence[str]) -> None:
    """Make the folder, and remove an earlier run's results, so that no two runs mix."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for pattern in results:
            for path in folder.glob(pattern):
                path.unlink()
    except OSError as error:
        raise output_error(folder, error) from error


def output_error(path: Path, error: OSError) -> OutputError:
    """What could not be written, and what to do."""
    reason = error.strerror or type(error).__name__
    return OutputError(
        f"expected to write to {path}, got: {reason}; free space or choose another folder"
    )
