"""A wearer's notes, Markdown and plain text: titles, and passages to be found and quoted.

Notes are lists and tables above all: each item, row and short line is a passage of its own, under
the heading and the item that it stands below. What is longer than a quotation is cut. markdown-it
reads the text, so what a mark means is CommonMark's and GitHub's word, with two exceptions that
notes need: indented lines are no code, and "•" begins an item.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import Literal

from markdown_it import MarkdownIt
from markdown_it.token import Token

from retrieval.sources.front_matter import NONE, FrontMatter, front_matter
from retrieval.sources.sentences import MAX_QUOTE_WORDS, MIN_SENTENCE_WORDS, clean, sentences

WRAPPED_CHARS = 60  # a paragraph whose lines are all shorter was not wrapped: its lines stand alone
MAX_LABEL_WORDS = 8  # of an item, to be told before the items below it

_BULLET = re.compile(r"^\s*[•‣◦▪–]\s+")  # what is typed or pasted for a list, and is none
_ROW = re.compile(r"^\s*\|(.*?)\|?\s*$")  # of a table without a rule below its first row
_TASK = re.compile(r"^\[[ xX]\]\s+")
_TAG = re.compile(r"<!--.*?(?:-->|\Z)|</?[A-Za-z][^<>]*>", re.DOTALL)  # in a block of HTML

Kind = Literal["prose", "item", "row", "code"]


@dataclass(frozen=True, slots=True)
class Note:
    """What a file says."""

    title: str  # its first heading, or ""
    passages: tuple[str, ...]  # one line each
    front: FrontMatter = NONE


@dataclass(frozen=True, slots=True)
class _Block:
    """Lines that belong together."""

    kind: Kind
    lines: tuple[str, ...]
    heading: str  # above it; "" below the title


def read_note(text: str, markdown: bool = True) -> Note:
    """The title and passages of a note's text; plain text has no headings and no fences."""
    front, body = front_matter(text) if markdown else (NONE, text)
    reader = NoteReader(markdown, front.title)
    passages = tuple(reader.read([body]))
    return Note(clean(reader.title), passages, front)


@cache
def _parser(markdown: bool) -> MarkdownIt:
    if markdown:
        return MarkdownIt("commonmark").enable(["table", "strikethrough"]).disable(["code"])
    return MarkdownIt("zero").enable(["table", "list", "hr"])


class NoteReader:
    """Pieces of a note in, passages out; it keeps the title and the heading that they are under."""

    def __init__(self, markdown: bool = True, title: str = "") -> None:
        self.title = title  # from the first piece on, where it has one
        self._markdown = markdown
        self._heading = ""
        self._bare = ("", 0)  # a heading below which nothing came yet, and its level
        self._items: list[str] = []  # that the present one stands below
        self._columns: list[str] = []

    def read(self, pieces: Iterable[str]) -> Iterator[str]:
        """The passages of the pieces in order (of `chunks`); of a note that is but a title: it."""
        told = False
        for piece in pieces:
            blocks = list(self._blocks(_parser(self._markdown).parse(piece)))
            for block in blocks:
                for passage in _passages(block, self.title):
                    told = True
                    yield passage
        alone = self._bare[0] or ("" if told else self.title)
        yield from cut(clean(alone))

    def _blocks(self, tokens: list[Token]) -> Iterator[_Block]:
        for number, token in enumerate(tokens):
            if token.type == "heading_open":
                yield from self._head(tokens[number + 1], token)
            elif token.type in ("list_item_open", "list_item_close"):
                self._items = [*self._items, ""] if token.nesting > 0 else self._items[:-1]
            elif token.type in ("tr_open", "thead_open"):
                yield from self._row(tokens, number)
            elif token.type in ("fence", "code_block"):
                yield from self._told("code", token.content.splitlines())
            elif token.type == "html_block":
                yield from self._told("prose", _TAG.sub(" ", token.content).splitlines())
            elif token.type == "inline" and tokens[number - 1].type == "paragraph_open":
                yield from self._paragraph(_plain(token).split("\n"))

    def _told(self, kind: Kind, lines: Iterable[str]) -> Iterator[_Block]:
        kept = tuple(line for line in lines if line.strip())
        if kept:
            self._bare = ("", 0)
            labels = [self._heading, *self._items[:-1]]
            yield _Block(kind, kept, ", ".join(filter(None, labels)))

    def _head(self, inline: Token, opened: Token) -> Iterator[_Block]:
        """A heading; the one before is told where nothing stands below it."""
        words, level = _plain(inline), int(opened.tag[1:])
        if "\n" in words:  # lines above a "---" that was meant to part them from what follows
            yield from self._paragraph(words.split("\n"))
            return
        bare, above = self._bare
        if bare and level <= above:
            self._heading = ""
            yield from self._told("prose", [bare])
        if self.title:
            self._heading, self._bare = words, (words, level)
        else:
            self.title = words

    def _paragraph(self, lines: list[str]) -> Iterator[_Block]:
        if self._items:
            yield from self._item(lines)
            return
        for kind, group in groupby(_items(lines), key=lambda item: item[0]):
            if kind == "prose":
                yield from self._told(kind, [words for _, words in group])
            else:
                for _, words in group:
                    yield from self._told(kind, [words])

    def _item(self, lines: list[str]) -> Iterator[_Block]:
        """An item; a table right below it, which Markdown takes for its words, stands alone."""
        end = next((at for at, line in enumerate(lines) if at and _ROW.match(line)), len(lines))
        words = _TASK.sub("", " ".join(lines[:end])).strip()
        yield from self._told("item", [words])
        label = words.rstrip(" :")
        if not self._items[-1] and len(label.split()) <= MAX_LABEL_WORDS:
            self._items[-1] = label
        if end < len(lines):
            items, self._items = self._items, []
            yield from self._blocks(_parser(self._markdown).parse("\n".join(lines[end:])))
            self._items = items

    def _row(self, tokens: list[Token], number: int) -> Iterator[_Block]:
        """The names of the columns, or a row, which repeats them."""
        cells = list[str]()
        if tokens[number].type == "thead_open":
            self._columns = []
            return
        head = False
        for token in tokens[number + 1 :]:
            if token.type == "tr_close":
                break
            head = head or token.type == "th_open"
            if token.type == "inline":
                cells.append(clean(_plain(token)))
        if head:
            self._columns = cells
            return
        names = self._columns if len(self._columns) == len(cells) else [""] * len(cells)
        pairs = zip(names, cells, strict=True)
        told = [f"{name}: {cell}" if name else cell for name, cell in pairs if cell]
        yield from self._told("row", [", ".join(told)])


def _items(lines: Iterable[str]) -> Iterator[tuple[Kind, str]]:
    """A paragraph's lines; those of items and rows that Markdown does not know are told apart."""
    held: tuple[Kind, str] | None = None  # an item, which goes on in the lines below
    for line in lines:
        if bullet := _BULLET.match(line):
            if held:
                yield held
            held = ("item", line[bullet.end() :])
        elif row := _ROW.match(line):
            if held:
                yield held
            held = None
            cells = (cell.strip() for cell in row[1].split("|"))
            yield "row", ", ".join(filter(None, cells))
        elif held:
            held = ("item", f"{held[1]} {line.strip()}")
        else:
            yield "prose", line
    if held:
        yield held


def _plain(inline: Token) -> str:
    """Text without marks: emphasis and links are their words, pictures what stands for them."""
    parts = list[str]()
    for child in inline.children or ():
        if child.type in ("softbreak", "hardbreak"):
            parts.append("\n")
        elif child.type == "html_inline":
            parts.append("\n" if child.content.lower().startswith("<br") else " ")
        else:
            parts.append(child.content)
    return "".join(parts)


def _passages(block: _Block, title: str) -> Iterator[str]:
    lines = block.lines
    whole = len(lines) == 1 and len(lines[0].split()) >= MIN_SENTENCE_WORDS
    if block.kind == "prose" and (whole or max(map(len, lines)) > WRAPPED_CHARS):
        for sentence in sentences(clean(" ".join(lines))):
            yield from cut(sentence)
        return
    for line in filter(None, map(clean, lines)):
        short = title if len(line.split()) < MIN_SENTENCE_WORDS else ""
        above = clean(block.heading or short)
        yield from cut(f"{above}: {line}" if above and above != line else line)


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
