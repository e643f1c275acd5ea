"""Knowledge entries: what the sources hold, cleaned and split into passages.

Sources are the Wikipedia vital-article summaries (text CC BY-SA 4.0, attributed by each entry's
link), a folder of .txt and .md files, or a JSONL file of {"title", "text"} objects.
"""

import codecs
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote as url_quote

from retrieval.sources.sentences import clean, sentences
from stream.errors import SourceError

WIKI_SOURCE = "wiki-vital"
WIKI_LICENSE = "Wikipedia, CC BY-SA 4.0"
MAX_TITLE_CHARS = 200
PEOPLE = "People"  # topic of entries about persons
UNSORTED = "Uncategorized"  # some of the best known things and persons
# Who stands behind an entry: the wearer's own, checked by somebody, or anybody's.
Tier = Literal["own", "vetted", "unvetted"]
_HE = re.compile(r"\b(?:He|She|His|Her)\b")
_YEAR = re.compile(r"\b\d{4}\b|\b\d{3}[–-]\d{3}\b")
_LIFE = re.compile(
    r"\((?:(?:c\.\s*)?(?P<begin>\d{3,4})\s*[–-]\s*(?:c\.\s*)?(?P<end>\d{3,4})|"
    r"born\s+(?P<born>\d{4}))\)"
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing the knowledge base knows about."""

    id: str  # source:title, source:path of a note; unique in the base
    title: str
    description: str  # a few words, may be empty
    passages: tuple[str, ...]  # one sentence each (short ones joined), never empty
    topic: str = ""
    url: str = ""
    license: str = ""
    date: str = ""  # ISO 8601, a day or a local time, so that text order is time order; or ""
    tags: tuple[str, ...] = ()
    tier: Tier = "vetted"
    picture: str = ""  # what shows it: a picture's path, or a page of a PDF as PATH#page=N

    @property
    def dated(self) -> str:
        """The description as a sentence where it tells years, which summaries leave out; or "".

        "English novelist (1775–1817)" of a person becomes "Jane Austen, English novelist, lived
        from 1775 to 1817."
        """
        name, told = self.title.split(" (")[0], self.description
        if not _YEAR.search(told):
            return ""
        life = _LIFE.search(told) if self._person else None
        if life is not None:
            what = self._lowered(_LIFE.sub("", told).strip(" ,"))
            begin, end = life.group("begin") or life.group("born"), life.group("end")
            lived = f"lived from {begin} to {end}" if end else f"was born in {begin}"
            return f"{name}, {what}, {lived}." if what else f"{name} {lived}."
        if told[0].isdigit() and told[4:5] == " ":
            return f"{name} is a{'n' if told.startswith(('18', '11')) else ''} {told}."
        return f"{name}: {told}."

    def _lowered(self, words: str) -> str:
        """Words as they stand inside a sentence: "Inventor" is a common word, "English" is not."""
        first = words.split(" ", 1)[0]
        common = any(re.search(rf"\b{re.escape(first.lower())}\b", one) for one in self.passages)
        return f"{first.lower()}{words[len(first) :]}" if common else words

    @property
    def _person(self) -> bool:
        """Whether it is about a person; some have no topic, but are called he or she."""
        known = self.topic == PEOPLE
        return known or (
            self.topic == UNSORTED and any(_HE.search(passage) for passage in self.passages)
        )

    @property
    def entity_text(self) -> str:
        """What the entity vector is made of: the title and what it is."""
        return f"{self.title}: {self.description or self.passages[0]}"

    def as_json(self) -> dict[str, Any]:
        """One JSONL object; what most entries do not have is left out where it is not told."""
        rare = {"date": self.date, "tags": list(self.tags), "picture": self.picture}
        told: dict[str, Any] = {name: value for name, value in rare.items() if value}
        if self.tier != "vetted":
            told["tier"] = self.tier
        return {
            "id": self.id,
            "title": self.title,
            "description": self.description,
            "passages": list(self.passages),
            "topic": self.topic,
            "url": self.url,
            "license": self.license,
            **told,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Entry":
        """Inverse of `as_json`; raises KeyError or TypeError for another object."""
        listed = {"passages": tuple(value["passages"]), "tags": tuple(value.get("tags", ()))}
        return cls(**{**value, **listed})


@dataclass(frozen=True, slots=True)
class Refused:
    """What a source holds and could not be read, or was left out."""

    path: str  # of the file, as seen from the source
    row: int | None  # line, row or page, from 1; None where it is the file
    reason: str  # what was expected and what came

    def __str__(self) -> str:
        return f"{self.path}{f' row {self.row}' if self.row else ''}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Knowledge:
    """Entries in a fixed order, and what was left out."""

    source: str
    entries: tuple[Entry, ...]
    skipped: tuple[str, ...] = ()  # "title: reason"


def load_wiki(summaries: Path) -> Knowledge:
    """Read {title: {"title", "extract", "description", "topic"}}; raises SourceError."""
    document = _read_json(summaries)
    if not isinstance(document, dict):
        raise SourceError(
            f"expected a JSON object of title -> summary in {summaries}, "
            f"got {type(document).__name__}"
        )
    return collected(WIKI_SOURCE, _wiki_records(document))


def load_jsonl(path: Path) -> Knowledge:
    """One {"title", "text"} object a line ("extract" also serves); raises SourceError."""
    return collected(path.stem, _jsonl_records(path))


def collected(
    source: str, records: Iterable[Mapping[str, Any]], left_out: Iterable[str] = ()
) -> Knowledge:
    """Clean records into entries; those without words or with a key seen before are skipped.

    A record's key is its title unless it has a "key". Its "passages" are taken as they are, its
    "text" is split into sentences.
    """
    entries: dict[str, Entry] = {}
    skipped = list(left_out)
    for record in records:
        title = clean(str(record.get("title") or ""))[:MAX_TITLE_CHARS]
        passages = tuple(
            record["passages"]
            if "passages" in record
            else sentences(clean(str(record.get("text") or "")))
        )
        if not title or not passages:
            skipped.append(f"{title or '(no title)'}: no {'text' if title else 'title'}")
            continue
        key = f"{source}:{record.get('key') or title}"
        if key in entries:
            skipped.append(f"{title}: duplicate title")
            continue
        entries[key] = Entry(
            key,
            title,
            clean(str(record.get("description") or "")),
            passages,
            clean(str(record.get("topic") or "")),
            str(record.get("url") or ""),
            str(record.get("license") or ""),
        )
    if not entries:
        raise SourceError(f"expected at least one entry with a title and text in {source}, got 0")
    return Knowledge(source, tuple(entries.values()), tuple(skipped))


def _wiki_records(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for key, value in document.items():
        if not isinstance(value, dict):
            yield {"title": key}
            continue
        title = value.get("title") or key
        page = url_quote(str(title).replace(" ", "_"), safe="_(),'")
        yield {
            **value,
            "title": title,
            "text": value.get("extract"),
            "url": f"https://en.wikipedia.org/wiki/{page}",
            "license": WIKI_LICENSE,
        }


def _jsonl_records(path: Path) -> Iterator[dict[str, Any]]:
    known: Counter[str] = Counter()  # titles so far
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            raise SourceError(f"expected JSON on line {number} of {path}: {error}") from error
        if not isinstance(value, dict):
            raise SourceError(f"expected a JSON object on line {number} of {path}")
        title = str(value.get("title") or "")
        known[title] += 1
        record = {name: value.get(name) for name in ("description", "topic", "url", "license")}
        record |= {"title": title, "text": value.get("text") or value.get("extract")}
        yield record if known[title] == 1 else {**record, "key": f"{title} #{known[title]}"}


def read_text(path: Path) -> str:
    """UTF-8, or UTF-16 that says so by its byte order mark."""
    try:
        data = path.read_bytes()
        utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return data.decode("utf-16" if utf16 else "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"expected UTF-8 text in {path}: {error}") from error


def _read_json(path: Path) -> Any:
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise SourceError(
            f"expected JSON in {path}: {error}; "
            f"fetch it again with `foveal models pull {WIKI_SOURCE}`"
        ) from error
