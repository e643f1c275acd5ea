"""Text files as lines of bounded length, so that no document must fit in memory."""

import codecs
from collections.abc import Iterator
from pathlib import Path

from stream.errors import SourceError

MAX_LINE_CHARS = 8192  # a longer line is cut at a space
BLOCK_CHARS = 1 << 16
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16's, which it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def encoding_of(path: Path, encoding: str = "") -> str:
    """UTF-8, what a byte order mark says, or `encoding` where neither fits.

    Reads the whole file in blocks, so that what begins well and ends badly is known before any of
    it is used; raises SourceError for what is no text, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(4)
        marked = next((name for mark, name in _MARKS if head.startswith(mark)), "")
        try:
            return _checked(path, marked or "utf-8-sig")
        except UnicodeDecodeError:
            if not encoding:
                raise
            return _checked(path, encoding)
    except (OSError, UnicodeDecodeError, LookupError) as error:
        raise SourceError(
            f"expected UTF-8 text in {path}: {error}; save it as UTF-8, or say --encoding"
        ) from error


def _checked(path: Path, encoding: str) -> str:
    with path.open(encoding=encoding, newline="") as file:
        while block := file.read(BLOCK_CHARS):
            if "\x00" in block:
                raise UnicodeDecodeError(encoding, b"\x00", 0, 1, "a zero byte: no text")
    return encoding


def read_text(path: Path) -> str:
    """All of a file that is known to be small; raises SourceError as `encoding_of` does."""
    with path.open(encoding=encoding_of(path), newline="") as file:
        return file.read()


def text_lines(path: Path, encoding: str) -> Iterator[str]:
    """Lines with their ends; one of more than `MAX_LINE_CHARS` comes in pieces, cut at spaces."""
    with path.open(encoding=encoding) as file:
        rest = ""
        while line := rest + file.readline(MAX_LINE_CHARS):
            rest = ""
            if not line.endswith("\n") and len(line) >= MAX_LINE_CHARS:
                at = line.rfind(" ", MAX_LINE_CHARS // 2) + 1
                line, rest = (line[:at], line[at:]) if at else (line, "")
            yield line
