"""Attributes of an entity, which CRAG-MM takes from infoboxes of Wikipedia, as facts in words."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from retrieval.sources.notes import cut
from retrieval.sources.sentences import clean

MAX_VALUE_CHARS = 2000
_LINK = re.compile(r"\[\[(?:[^\[\]|]*\|)?([^\[\]|]*)\]\]")
_TEMPLATE = re.compile(r"\{\{[^{}]*\}\}")
_REFERENCE = re.compile(r"<ref[^<>]*?/>|<ref.*?</ref>", re.DOTALL | re.IGNORECASE)
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]*>")


def facts(attributes: Any) -> Iterator[str]:
    """ "maker: AEC", for each attribute that says something; without marks of a wiki."""
    if not isinstance(attributes, Mapping):
        return
    for name, value in attributes.items():
        told = _plain(value)
        if told:
            yield from cut(f"{clean(str(name)).replace('_', ' ')}: {told}")


def _plain(value: Any) -> str:
    if value is None or isinstance(value, (Mapping, bytes)):
        return ""
    if isinstance(value, (list, tuple)):
        return ", ".join(filter(None, map(_plain, value)))
    text = _REFERENCE.sub("", str(value)[:MAX_VALUE_CHARS])
    text = _BREAK.sub(", ", _LINK.sub(r"\1", text))
    while _TEMPLATE.search(text):  # the innermost first
        text = _TEMPLATE.sub("", text)
    return clean(_TAG.sub("", text))
