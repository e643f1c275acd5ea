"""A folder as knowledge entries: notes, documents, tables and pictures with captions."""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path, PurePosixPath

from retrieval.sources.chunks import chunks
from retrieval.sources.entries import Entry, RefusedRow
from retrieval.sources.files import FORMATS, read_file
from retrieval.sources.front_matter import NONE, FrontMatter, front_matter
from retrieval.sources.lines import encoding_of, text_lines
from retrieval.sources.notes import NoteReader
from retrieval.sources.pictures import PICTURES, read_captions, read_picture
from retrieval.sources.records import Record, entries
from stream.errors import SourceError
from stream.events import Tier

NOTES = (".txt", ".md", ".markdown")


def read_folder(
    folder: Path, encoding: str = "", tier: Tier = "own", name: str = ""
) -> Iterator[Entry | RefusedRow]:
    """Each note is an entry; its front matter, its first heading or its name is the title.

    Two notes may have the same heading: their ids are their paths, and their names tell them apart.
    Rows and pages of other formats are entries of their own. Hidden files and folders are left
    alone, all else that cannot be read is refused by name. `name`: how ids begin.
    Raises SourceError where there is no folder.
    """
    if not folder.is_dir():
        raise SourceError(f"expected a folder in {folder}, found none")
    return entries(name or folder.resolve().name or "folder", _records(folder, encoding), tier)


def _records(folder: Path, encoding: str) -> Iterator[Record | RefusedRow]:
    files, refused = walk(folder)
    captions = read_captions(files, folder, encoding)
    yield from [*refused, *captions.refused]
    files = [path for path in files if path not in captions.files]
    titles = {path: title for path in files if (title := _title(path, encoding))}
    counts = Counter(titles.values())
    for path in files:
        name = path.relative_to(folder).as_posix()
        try:
            if path.suffix.lower() in NOTES:
                title = titles.get(path, "")
                apart = f" ({PurePosixPath(name).with_suffix('')})" if counts[title] > 1 else ""
                yield from _note(path, name, f"{title}{apart}", encoding)
            elif path.suffix.lower() in PICTURES:
                yield from read_picture(path, name, captions.told.get(path))
            elif path.suffix.lower() in FORMATS:
                yield from _inside(read_file(path, name, encoding), name)
            else:
                yield RefusedRow(
                    name, None, f"no format that is read ({path.suffix or 'no suffix'})"
                )
        except (SourceError, OSError) as error:
            yield RefusedRow(name, None, str(error))


def walk(folder: Path) -> tuple[list[Path], list[RefusedRow]]:
    """Files that are shown, by name: no .git, no .trash, no twins of macOS (._note.md)."""
    files, refused = list[Path](), list[RefusedRow]()

    def failed(error: OSError) -> None:
        name = Path(error.filename).relative_to(folder).as_posix()
        refused.append(
            RefusedRow(name, None, f"expected a folder that can be read: {error.strerror}")
        )

    for place, folders, names in os.walk(folder, onerror=failed):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for path in (Path(place, name) for name in names if not name.startswith(".")):
            name = path.relative_to(folder).as_posix()
            shown = name.encode("utf-8", "replace").decode()
            if shown != name:
                refused.append(RefusedRow(shown, None, "expected a name in UTF-8"))
            elif not path.is_file():
                refused.append(
                    RefusedRow(name, None, "expected a file, not a device or a broken link")
                )
            else:
                files.append(path)
    return sorted(files), refused


def _title(path: Path, encoding: str) -> str:
    """Of a note; "" for other files and for one that cannot be read."""
    if path.suffix.lower() not in NOTES:
        return ""
    with suppress(SourceError, OSError):
        front, pieces = _opened(path, encoding)
        reader = NoteReader(_markdown(path), front.title)
        next(reader.read(pieces), None)
        return reader.title or path.stem.replace("_", " ").replace("-", " ")
    return ""


def _note(path: Path, name: str, title: str, encoding: str) -> Iterator[Record | RefusedRow]:
    front, pieces = _opened(path, encoding)
    if front.problem:
        yield RefusedRow(name, None, f"{front.problem}; the text was read without it")
    reader = NoteReader(_markdown(path), front.title)
    yield Record(
        path=name,
        key=name,
        title=title,
        passages=reader.read(pieces),
        url=name,
        date=front.date,
        tags=front.tags,
        license=front.license,
    )


def _opened(path: Path, encoding: str) -> tuple[FrontMatter, Iterator[str]]:
    markdown = _markdown(path)
    pieces = chunks(text_lines(path, encoding_of(path, encoding)), markdown)
    first = next(pieces, "")
    front, body = front_matter(first) if markdown else (NONE, first)
    return front, chain([body], pieces)


def _markdown(path: Path) -> bool:
    return path.suffix.lower() != ".txt"


def _inside(records: Iterator[Record | RefusedRow], name: str) -> Iterator[Record | RefusedRow]:
    """Rows of a file among others are known by its name, too."""
    for record in records:
        if isinstance(record, Record):
            key = record.key or record.title
            record = replace(record, key=f"{name}#{key}", url=record.url or name)
        yield record
