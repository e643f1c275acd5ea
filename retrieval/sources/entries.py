"""Knowledge entries: what the sources hold, cleaned and split into passages."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from stream.errors import SourceError
from stream.events import Tier

PEOPLE = "People"  # topic of entries about persons
UNSORTED = "Uncategorized"  # some of the best known things and persons
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
    date: str = ""  # ISO 8601, a day or a time (of UTC where a zone was told); or ""
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
class RefusedRow:
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
    refused: tuple[RefusedRow, ...] = ()
    noted: tuple[str, ...] = ()  # "id: what": of entries that are in and worth a look

    @property
    def skipped(self) -> tuple[str, ...]:
        """What was left out, a line each."""
        return tuple(map(str, self.refused))

    @classmethod
    def collect(cls, source: str, items: Iterable[Entry | RefusedRow]) -> "Knowledge":
        """All that a source yields, in memory; raises SourceError where no entry is among it."""
        entries, refused = list[Entry](), list[RefusedRow]()
        for item in items:
            if isinstance(item, Entry):
                entries.append(item)
            else:
                refused.append(item)
        if not entries:
            why = f"; {refused[0]}" if refused else ""
            raise SourceError(
                f"expected at least one entry with a title and text in {source}, got 0{why}"
            )
        return cls(source, tuple(entries), tuple(refused))
