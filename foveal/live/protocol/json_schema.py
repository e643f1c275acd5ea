"""The protocol's documents from its types: the JSON schema, and the tables of docs/protocol.md.

`python -m foveal.live.protocol.json_schema [docs]` writes both anew.
"""

import inspect
import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic.json_schema import models_json_schema

from foveal.live.protocol import server
from foveal.live.protocol.client import AnyClientMessage
from foveal.live.protocol.parts import (
    EvidenceEntry,
    MaskCode,
    PictureSent,
    ProtocolMessage,
    ProtocolPart,
    RegionState,
    RememberedMoment,
    SearchMade,
    SpanMark,
    WatchEntry,
)
from foveal.live.protocol.server import NumberedMessage, ServerMessage

SCHEMA, PAGE = "protocol.schema.json", "protocol.md"
CLIENT_MESSAGES: tuple[type[ProtocolMessage], ...] = get_args(AnyClientMessage)
SERVER_MESSAGES = tuple(
    one
    for one in vars(server).values()
    if isinstance(one, type)
    and issubclass(one, ServerMessage)
    and not one.model_fields["type"].is_required()
)
PARTS: dict[str, type[ProtocolPart]] = {
    "region": RegionState,
    "mask": MaskCode,
    "span": SpanMark,
    "search": SearchMade,
    "entry": EvidenceEntry,
    "moment": RememberedMoment,
    "picture": PictureSent,
    "watch": WatchEntry,
}


def json_schema() -> dict[str, Any]:
    """JSON Schema of all messages; `$defs` has both sides, `client` and `server`."""
    models = (*CLIENT_MESSAGES, *SERVER_MESSAGES)
    _, made = models_json_schema([(model, "validation") for model in models])
    defs = {name: _plain(one) for name, one in made["$defs"].items()}
    for model in models:
        one = defs[model.__name__]
        numbered = ["seq"] if issubclass(model, NumberedMessage) else []
        one["required"] = list(dict.fromkeys(["v", "type", *one.get("required", ()), *numbered]))
        one["additionalProperties"] = False
    for side, messages in (("client", CLIENT_MESSAGES), ("server", SERVER_MESSAGES)):
        defs[side] = {"oneOf": [{"$ref": f"#/$defs/{one.__name__}"} for one in messages]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Foveal live protocol, version 1",
        "anyOf": [{"$ref": "#/$defs/client"}, {"$ref": "#/$defs/server"}],
        "$defs": defs,
    }


def tables() -> dict[str, str]:
    """The tables of docs/protocol.md, by the names of their marks."""
    return {
        "client": _table("type", "what", ((_type(one), one) for one in CLIENT_MESSAGES)),
        "server": _table("type", "when", ((_type(one), one) for one in SERVER_MESSAGES)),
        "parts": _table("part", "what", PARTS.items()),
    }


def page(text: str) -> str:
    """docs/protocol.md with its tables made anew."""
    for name, table in tables().items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        inside = re.compile(f"(?<={begin}\n).*?(?={end})", re.DOTALL)
        text, count = inside.subn(lambda _, table=table: table, text)  # type: ignore[misc]
        if count != 1:
            raise ValueError(f"expected one table between {begin} and {end}, got {count}")
    return text


def _plain(node: Any) -> Any:
    """Without titles; a member that may be left out is never null."""
    if isinstance(node, list):
        return [_plain(one) for one in node]
    if not isinstance(node, dict):
        return node
    kept = {key: _plain(one) for key, one in node.items() if key not in ("title", "default")}
    if "default" in node and "anyOf" in kept:
        (kind,) = (one for one in kept.pop("anyOf") if one != {"type": "null"})
        kept = {**kind, **kept}
    return kept


def _type(model: type[ProtocolMessage]) -> str:
    return str(model.model_fields["type"].default)


def _table(head: str, what: str, rows: Iterable[tuple[str, type[ProtocolPart]]]) -> str:
    lines = [f"| {head} | {what} | members |", "|---|---|---|"]
    for name, model in rows:
        lines.append(f"| `{name}` | {inspect.cleandoc(model.__doc__ or '')} | {_members(model)} |")
    return "\n".join(lines) + "\n"


def _members(model: type[ProtocolPart]) -> str:
    named = []
    for name, one in model.model_fields.items():
        if one.description is not None:
            mark = "" if one.is_required() else "optional "
            named.append(f"{mark}`{name}`: {one.description}{_choices(one.annotation)}")
    return "; ".join(named)


def _choices(annotation: Any) -> str:
    """The words that a member may be, if they are few and known."""
    for one in (annotation, *get_args(annotation)):
        if get_origin(one) is Literal:
            return f" ({', '.join(get_args(one))})"
    return ""


def main(docs: Path) -> None:
    """Write both files."""
    text = json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n"
    (docs / SCHEMA).write_text(text, encoding="utf-8")
    path = docs / PAGE
    path.write_text(page(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(Path(*sys.argv[1:2] or ["docs"]))
