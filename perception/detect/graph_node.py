"""A node of a TensorFlow graph as its JSON writes it."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One operation with its attributes as Python values."""

    name: str
    op: str
    inputs: tuple[str, ...]  # `name`, or `name:1` for another than the first output
    attributes: Mapping[str, Any]

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute's value."""
        return self.attributes.get(name, default)


def read_node(entry: Mapping[str, Any]) -> Node:
    """From JSON; raises KeyError, ValueError or TypeError for something else."""
    inputs = tuple(
        str(name).removesuffix(":0") for name in entry.get("input", ()) if str(name)[:1] != "^"
    )
    attributes = {name: _value(value) for name, value in entry.get("attr", {}).items()}
    return Node(str(entry["name"]), str(entry["op"]), inputs, attributes)


def _value(value: Mapping[str, Any]) -> Any:
    """{"s": base64}, {"i": "3"}, {"list": {"i": [...]}} … -> str, int, list …"""
    for kind, held in value.items():
        if kind == "list":
            return [_one(each, item) for each, items in held.items() for item in items]
        return _one(kind, held)
    return None


def _one(kind: str, held: Any) -> Any:
    if kind == "s":
        return base64.b64decode(held).decode("utf-8")
    if kind == "i":
        return int(held)
    return held
