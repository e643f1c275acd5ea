"""What a Homie device is made of: nodes, properties, their ids and formats. Pure.

Source: The Homie Convention 5.0 (homieiot.github.io).
"""

import re
from dataclasses import dataclass
from typing import Literal, get_args

from stream.errors import ConfigError

Datatype = Literal["string", "integer", "float", "boolean", "enum", "json"]
HomieValue = str | int | float | bool

ID = re.compile(r"[a-z0-9-]{1,64}\Z")


def check_id(text: str) -> str:
    """`text` if it can be a Homie topic level, else ConfigError."""
    if not ID.match(text):
        raise ConfigError(
            f"expected an id of 1 to 64 of a-z, 0-9 and '-', got {text!r}: rename the device, "
            "node, property or alert"
        )
    return text


@dataclass(frozen=True, slots=True)
class HomieProperty:
    """One value of the device, and how it may be set."""

    id: str
    name: str
    datatype: Datatype
    format: str = ""  # "min:max:step" for numbers (parts may be empty), "a,b" for enums
    unit: str = ""
    settable: bool = False
    retained: bool = True

    def __post_init__(self) -> None:
        check_id(self.id)
        if self.datatype not in get_args(Datatype):
            raise ConfigError(f"expected one of {get_args(Datatype)}, got {self.datatype!r}")
        if self.datatype == "enum" and not all(self.format.split(",")):
            raise ConfigError(f"expected a format like 'a,b' for enum {self.id}: {self.format!r}")
        if self.datatype in ("integer", "float"):
            bounds(self)


@dataclass(frozen=True, slots=True)
class HomieNode:
    """A named group of properties."""

    id: str
    name: str
    properties: tuple[HomieProperty, ...]

    def __post_init__(self) -> None:
        check_id(self.id)
        _check_unique([one.id for one in self.properties], f"properties of node {self.id}")


@dataclass(frozen=True, slots=True)
class HomieDevice:
    """What is described to the broker."""

    id: str
    name: str
    nodes: tuple[HomieNode, ...]

    def __post_init__(self) -> None:
        check_id(self.id)
        _check_unique([one.id for one in self.nodes], f"nodes of device {self.id}")

    def find(self, node_id: str, property_id: str) -> HomieProperty | None:
        """The property, or None."""
        for node in self.nodes:
            for one in node.properties if node.id == node_id else ():
                if one.id == property_id:
                    return one
        return None


def bounds(one: HomieProperty) -> tuple[float | None, float | None, float | None]:
    """(least, most, step) of a number's format; ConfigError for a bad format."""
    given = one.format.split(":")
    parts = [*given, *[""] * (3 - len(given))]
    try:
        least, most, step = (float(part) if part else None for part in parts)
    except ValueError as error:
        raise ConfigError(f"expected min:max:step for {one.id}, got {one.format!r}") from error
    if (least is not None and most is not None and least > most) or (
        step is not None and not step > 0
    ):
        raise ConfigError(f"expected min <= max and step > 0 for {one.id}, got {one.format!r}")
    return least, most, step


def _check_unique(ids: list[str], what: str) -> None:
    if len(set(ids)) != len(ids):
        raise ConfigError(f"expected different ids for the {what}, got {ids}")
