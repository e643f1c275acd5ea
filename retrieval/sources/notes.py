"""A wearer's notes, Markdown and plain text: titles, and passages to be found and quoted.

Notes are lists and tables above all: each item, row and short line is a passage of its own, under
the heading that it stands below. What is longer than a quotation is cut.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from retrieval.sources.sentences import MAX_QUOTE_WORDS, MIN_SENTENCE_WORDS, clean, sentences

WRAPPED_CHARS = 60  # a paragraph whose lines are all shorter was not wrapped: its lines stand alone

_FENCE = re.compile(r"^\s*(?:```|~~~)")
_HEADING = re.compile(r"^ {0,3}#{1,6}\s+(.*?)[\s#]*$")  # "#todo" is a tag
_ITEM = re.compile(r"^\s*(?:[-*+•–]|\d{1,3}[.)])\s+(?:\[[ xX]\]\s+)?(.*)$")
_ROW = re.compile(r"^\s*\|(.*?)\|?\s*$")
_RULE = re.compile(r"^\s*[-=*_|:][-=*_|:\s]*$")  # of a table, or across the page
_FRONT = re.compile(r"\A---\s*\n(.*?)\n---\s*(?:\n|\Z)", re.DOTALL)  # YAML before the text
_FRONT_TITLE = re.compile(r"^title:\s*[\"']?(.*?)[\"']?\s*$", re.MULTILINE)


Kind = Literal["prose", "item", "row", "code"]


@dataclass(frozen=True, slots=True)
class Note:
    """What a file says."""

    title: str  # its first heading, or ""
    passages: tuple[str, ...]  # one line each


@dataclass(slots=True)
class _Block:
    """Lines that belong together."""

    kind: Kind
    lines: list[str]
    heading: str  # above it; "" below the title


def read_note(text: str, markdown: bool = True) -> Note:
    """The title and passages of a note's text; plain text has no headings and no fences."""
    parser = _Parser(markdown)
    for line in parser.front(text).splitlines():
        parser.take(line)
    passages = [part for block in parser.blocks for part in _passages(block, parser.title)]
    return Note(clean(parser.title), tuple(passages))


class _Parser:
    """Lines in, blocks out."""

    def __init__(self, markdown: bool) -> None:
        self._markdown = markdown
        self.title = ""
        self.blocks: list[_Block] = []
        self._heading = ""
        self._columns: list[str] = []  # of the table that is being read
        self._code = False  # inside a fence
        self._apart = True  # the next line begins a block

    def front(self, text: str) -> str:
        """What follows the block before a note's text, whose title is taken."""
        found = _FRONT.match(text) if self._markdown else None
        if found is None:
            return text
        title = _FRONT_TITLE.search(found[1])
        self.title = title[1] if title else ""
        return text[found.end() :]

    def take(self, line: str) -> None:
        """The next line."""
        if self._markdown and _FENCE.match(line):
            self._code, self._apart = not self._code, True
        elif self._code:
            self._begin("code", [line])
        elif self._markdown and (headed := _HEADING.match(line)):
            self._head(headed[1])
        elif not line.strip() or _RULE.match(line):
            self._rule(line)
        elif row := _ROW.match(line):
            self._row([cell.strip() for cell in row[1].split("|")])
        elif item := _ITEM.match(line):
            self._begin("item", [item[1]])
        elif self._apart:
            self._begin("prose", [line])
        else:
            self.blocks[-1].lines.append(line)

    def _begin(self, kind: Kind, lines: list[str]) -> None:
        self.blocks.append(_Block(kind, lines, self._heading))
        self._apart = kind in ("code", "row")

    def _head(self, words: str) -> None:
        self._apart = True
        if self.title:
            self._heading = words
        else:
            self.title = words

    def _rule(self, line: str) -> None:
        """A row above a rule names the columns, and each row below repeats the names."""
        named = "|" in line and bool(self.blocks) and self.blocks[-1].kind == "row"
        self._columns = self.blocks.pop().lines if named else []
        self._apart = True

    def _row(self, cells: list[str]) -> None:
        if len(cells) == len(self._columns):
            pairs = zip(self._columns, cells, strict=True)
            cells = [f"{name}: {cell}" if name and cell else cell for name, cell in pairs]
        self._begin("row", cells)


def _passages(block: _Block, title: str) -> Iterator[str]:
    lines = block.lines
    if block.kind == "prose" and (len(lines) == 1 or max(map(len, lines)) > WRAPPED_CHARS):
        for sentence in sentences(clean(" ".join(lines))):
            yield from cut(sentence)
        return
    alone = lines if block.kind == "prose" else [_joined(block)]
    for line in filter(None, map(clean, alone)):
        short = title if len(line.split()) < MIN_SENTENCE_WORDS else ""
        above = clean(block.heading or short)
        yield from cut(f"{above}: {line}" if above else line)


def _joined(block: _Block) -> str:
    return (", " if block.kind == "row" else " ").join(filter(None, block.lines))


def cut(text: str, limit: int = MAX_QUOTE_WORDS) -> Iterator[str]:
    """Parts of at most `limit` words, ended where a clause ends if one does in the last half."""
    words = text.split()
    while len(words) > limit:
        ends = (at for at in range(limit, limit // 2, -1) if words[at - 1][-1] in ",;:.")
        at = next(ends, limit)
        yield " ".join(words[:at])
        words = words[at:]
    if words:
        yield " ".join(words)
