"""A long document in pieces that a Markdown parser reads one by one, cut where blocks end."""

import re
from collections.abc import Iterable, Iterator

CHUNK_CHARS = 1 << 14  # cut at the next end of a block from here on, at twice as much anywhere
MAX_PREFIX_CHARS = 1 << 12  # of what is said again after a cut

_FENCE = re.compile(r"^\s*(`{3,}|~{3,})")
_RULED = re.compile(r"^\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)+\|?\s*$")  # below a table's columns


class _Place:
    """Where in the document a line stands: inside a fence, or a table."""

    def __init__(self) -> None:
        self._fence = ""  # the line that opened it
        self._above = ""
        self._table = ""  # its columns' names and rule

    def take(self, line: str) -> None:
        """The next line."""
        mark = _FENCE.match(line)
        if self._fence:
            opened = _FENCE.match(self._fence)
            closed = mark and opened and mark[1].startswith(opened[1])
            self._fence = "" if closed and not line.strip().strip("`~") else self._fence
        elif mark:
            self._fence, self._table = line, ""
        elif self._above and "|" in self._above and _RULED.match(line):
            self._table = f"{self._above}{line}"
        elif "|" not in line:
            self._table = ""
        self._above = line

    @property
    def again(self) -> str:
        """What a piece that is cut here begins with, so that it reads as it did."""
        prefix = self._fence or self._table
        return prefix if len(prefix) <= MAX_PREFIX_CHARS else ""

    @property
    def open(self) -> bool:
        return bool(self._fence)


def chunks(lines: Iterable[str], markdown: bool = True) -> Iterator[str]:
    """Pieces of about `CHUNK_CHARS`, each of whole blocks where blocks are shorter than that.

    A fence or table that is longer is cut between its lines, and goes on under its own heading.
    """
    held, size, place, blank = list[str](), 0, _Place(), False
    for line in lines:
        safe = blank and line[:1].strip() and not place.open
        if held and ((size >= CHUNK_CHARS and safe) or size >= 2 * CHUNK_CHARS):
            yield "".join(held)
            held = [place.again] if markdown and not safe else []
            size = sum(map(len, held))
        held.append(line)
        size += len(line)
        place.take(line)
        blank = not line.strip()
    if held:
        yield "".join(held)
