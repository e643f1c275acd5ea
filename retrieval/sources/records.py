"""What every format hands on: records, which become entries of clean words and bounded length."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from itertools import islice
from typing import Any, cast, get_args

from retrieval.sources.entries import Entry, RefusedRow
from retrieval.sources.sentences import clean, sentences
from stream.events import Tier

MAX_TITLE_CHARS = 200
MAX_TAGS = 100
PART_PASSAGES = 1000  # a longer text becomes several entries, so that each fits in memory

# The names that a column or key goes by, in the order that they are looked for.
NAMES: Mapping[str, tuple[str, ...]] = {
    "id": ("id",),
    "title": ("title", "name"),
    "text": ("text", "extract", "body", "content", "caption"),
    "description": ("description",),
    "topic": ("topic", "category"),
    "url": ("url", "link"),
    "license": ("license", "licence"),
    "date": ("date", "created", "timestamp"),
    "tags": ("tags", "keywords"),
    "tier": ("tier",),
    "picture": ("picture", "image", "file_name", "file"),
}
KNOWN = frozenset(name for names in NAMES.values() for name in names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One thing of a source, not yet cleaned."""

    path: str  # for the report
    row: int | None = None
    title: str
    key: str = ""  # what it is known by in its source; its title unless told
    text: str = ""  # cut into sentences, unless there are `passages`
    passages: Iterable[str] | None = None  # taken as they are; may be read while they are asked for
    description: str = ""
    topic: str = ""
    url: str = ""
    license: str = ""
    date: str = ""
    tags: tuple[str, ...] = ()
    tier: Tier | None = None  # that of its source unless told
    picture: str = ""


def entries(
    source: str, records: Iterable[Record | RefusedRow], tier: Tier = "vetted"
) -> Iterator[Entry | RefusedRow]:
    """Records as entries of `source`; those without words or with a key seen before are refused.

    A record of more than `PART_PASSAGES` passages becomes several entries, "(part 2)" and so on.
    """
    seen = set[str]()
    for record in records:
        if isinstance(record, RefusedRow):
            yield record
            continue
        title = clean(record.title)[:MAX_TITLE_CHARS]
        key = f"{source}:{record.key or title}"
        if not title or key in seen:
            what = f"{title}: duplicate title or id" if title else "(no title): no title"
            yield RefusedRow(record.path, record.row, what)
            continue
        seen.add(key)
        yield from _parts(record, key, title, tier)


def _parts(record: Record, key: str, title: str, tier: Tier) -> Iterator[Entry | RefusedRow]:
    told, number = record.passages, 0
    try:
        passages = iter(sentences(clean(record.text)) if told is None else told)
        while part := tuple(islice(passages, PART_PASSAGES)):
            number += 1
            entry = _entry(record, key, title, part, tier)
            name = f"{title} (part {number})"
            yield entry if number == 1 else replace(entry, id=f"{key}#part{number}", title=name)
    except (OSError, UnicodeError) as error:  # a file that changes while it is read
        yield RefusedRow(
            record.path, record.row, f"{title}: read {number} parts, then got: {error}"
        )
        return
    if not number:
        yield RefusedRow(record.path, record.row, f"{title}: no text")


def _entry(record: Record, key: str, title: str, passages: tuple[str, ...], tier: Tier) -> Entry:
    return Entry(
        key,
        title,
        clean(record.description),
        passages,
        clean(record.topic),
        clean(record.url),
        clean(record.license),
        record.date,
        record.tags,
        record.tier or tier,
        record.picture,
    )


def row_record(row: Mapping[str, Any], path: str, number: int) -> Iterator[Record | RefusedRow]:
    """A row of a table, or an object, by the names of its columns.

    Without a column of text the others are told: "where: blue drawer, colour: red". A date that
    is none is left out, and named.
    """
    plain = {str(name).strip().lower(): value for name, value in row.items()}
    found = {field: _first(plain, names) for field, names in NAMES.items()}
    tier = _words(found["tier"]).lower() or None
    if tier not in (None, *get_args(Tier)):
        reason = f"expected a tier of {', '.join(get_args(Tier))}, got {tier!r}"
        yield RefusedRow(path, number, reason)
        return
    day = iso_date(found["date"])
    if day is None:
        got = _words(found["date"])[:40]
        yield RefusedRow(path, number, f"the date alone: expected ISO 8601, got {got!r}")
    text = _words(found["text"])
    if not any(name in plain for name in NAMES["text"]):
        text = _facts(row)
    told = ("description", "topic", "url", "license", "picture")
    yield Record(
        path=path,
        row=number,
        title=_words(found["title"]),
        key=clean(_words(found["id"])),
        text=text,
        date=day or "",
        tags=tags_of(found["tags"]),
        tier=cast(Tier | None, tier),
        **{name: _words(found[name]) for name in told},
    )


def _facts(row: Mapping[str, Any]) -> str:
    told = ((str(name), _words(value)) for name, value in row.items())
    facts = [f"{n}: {value}" for n, value in told if value and n.strip().lower() not in KNOWN]
    return ", ".join(facts)


def _first(row: Mapping[str, Any], names: Iterable[str]) -> Any:
    """What the first name holds that holds something."""
    return next((row[name] for name in names if row.get(name) not in (None, "")), None)


def _words(value: Any) -> str:
    """A scalar as text; what holds others is none."""
    if value is None or value != value or isinstance(value, (Mapping, list, tuple, set, bytes)):
        return ""
    return str(value).strip()


def iso_date(value: object) -> str | None:
    """A day or a time as ISO 8601, to the second; "" for nothing, None for what is no date.

    Takes dates, ISO 8601 and EXIF's "2026:05:01 12:30:00". A time with a zone is told in UTC.
    """
    if value is None or value == "":
        return ""
    try:
        if isinstance(value, str):
            return _parsed(value.strip())
        if isinstance(value, datetime):
            moment = value.astimezone(UTC) if value.tzinfo else value
            return moment.replace(tzinfo=None).isoformat(timespec="seconds")
    except (ValueError, OverflowError):
        return None
    return value.isoformat() if isinstance(value, date) else None


def _parsed(text: str) -> str | None:
    if text[4:5] == ":" and text[7:8] == ":":
        text = f"{text[:4]}-{text[5:7]}-{text[8:]}"
    moment = datetime.fromisoformat(text)
    bare = len(text) <= 10 and moment.time() == time()
    return moment.date().isoformat() if bare else iso_date(moment)


def tags_of(value: object) -> tuple[str, ...]:
    """Tags of a list, or of words between commas or semicolons; no tag twice."""
    parts = value.replace(";", ",").split(",") if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)):
        return ()
    words = (clean(_words(part)).removeprefix("#") for part in parts)
    return tuple(dict.fromkeys(filter(None, words)))[:MAX_TAGS]
