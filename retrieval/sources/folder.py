"""A folder of notes as knowledge entries."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from retrieval.sources.entries import Knowledge, collected, read_text
from retrieval.sources.notes import read_note
from stream.errors import SourceError

NOTES = (".txt", ".md")


def load_folder(folder: Path) -> Knowledge:
    """Each .txt or .md file is an entry; its first heading or its name is the title.

    Two notes may have the same heading: their ids are their paths, and their names tell them apart.
    Hidden files and folders are no notes. All other files are named in `skipped`, with those that
    cannot be read.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and _shown(path, folder))
    notes = [path for path in files if path.suffix.lower() in NOTES]
    if not notes:
        raise SourceError(f"expected .txt or .md files in {folder}, found none")
    skipped = [
        f"{_inside(path, folder)}: no .txt or .md file" for path in files if path not in notes
    ]
    records = []
    for path in notes:
        try:
            records.append(_file_record(path, folder))
        except SourceError as error:
            skipped.append(f"{_inside(path, folder)}: {error}")
    return collected(folder.resolve().name or "folder", _told_apart(records), skipped)


def _file_record(path: Path, folder: Path) -> dict[str, Any]:
    note = read_note(read_text(path), markdown=path.suffix.lower() == ".md")
    name, inside = path.stem.replace("_", " ").replace("-", " "), _inside(path, folder)
    title = note.title or name
    return {"key": inside, "title": title, "passages": note.passages, "url": inside}


def _told_apart(records: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """A title that several notes have is followed by the note's path."""
    counts = Counter(record["title"] for record in records)
    for record in records:
        title, path = record["title"], PurePosixPath(record["key"]).with_suffix("")
        yield {**record, "title": f"{title} ({path})"} if counts[title] > 1 else record


def _inside(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _shown(path: Path, folder: Path) -> bool:
    """Whether no part of the path is hidden: no .git, no .trash, no twins of macOS (._note.md)."""
    return not any(part.startswith(".") for part in path.relative_to(folder).parts)
