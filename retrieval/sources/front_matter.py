"""The YAML block before a note's text: its title, date, tags and licence."""

import re
from dataclasses import dataclass
from typing import Any

import yaml

from retrieval.sources.records import iso_date, tags_of

MAX_CHARS = 1 << 14  # a longer block is text
_BLOCK = re.compile(
    r"\A---[ \t]*\r?\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class FrontMatter:
    """What the block says; `problem` is what of it could not be read."""

    title: str = ""
    date: str = ""  # ISO 8601
    tags: tuple[str, ...] = ()
    license: str = ""
    problem: str = ""


NONE = FrontMatter()


def front_matter(text: str) -> tuple[FrontMatter, str]:
    """The block and the text after it; a text without one is returned as it is."""
    found = _BLOCK.match(text[:MAX_CHARS])
    if found is None:
        return NONE, text
    body = text[found.end() :]
    try:
        values = yaml.safe_load(found[1])
        if values is None:
            return NONE, body
        if not isinstance(values, dict):  # a rule, words and a rule
            return NONE, text
        return _read({str(name).lower(): value for name, value in values.items()}), body
    except Exception as error:  # PyYAML's constructors raise what they like
        where = str(error).splitlines()[0] if str(error) else type(error).__name__
        return FrontMatter(problem=f"expected YAML before the text: {where}"), body


def _read(values: dict[str, Any]) -> FrontMatter:
    told = next((values[name] for name in ("date", "created") if values.get(name)), None)
    day = iso_date(told)
    return FrontMatter(
        _scalar(values.get("title")),
        day or "",
        tags_of(values.get("tags") or values.get("keywords")),
        _scalar(values.get("license") or values.get("licence")),
        f"expected an ISO 8601 date before the text, got {told!r:.40}" if day is None else "",
    )


def _scalar(value: object) -> str:
    return str(value).strip() if isinstance(value, (str, int, float)) else ""
