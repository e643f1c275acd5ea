"""Homie 5: what a device is made of, its topics, the payloads on them. Pure: no network.

Source: The Homie Convention 5.0 (homieiot.github.io): `base/5/device/node/property`, commands on
`.../set`, `$state`, `$description`, `$alert/<id>`, `$log/<level>`.
"""

import json
import math
import re
import zlib
from dataclasses import dataclass
from typing import Any, Literal, get_args

from stream.errors import ConfigError

State = Literal["init", "ready", "disconnected", "sleeping", "lost"]
LogLevel = Literal["debug", "info", "warn", "error", "fatal"]
Datatype = Literal["string", "integer", "float", "boolean", "enum", "json"]
HomieValue = str | int | float | bool

ID = re.compile(r"[a-z0-9-]{1,64}\Z")
MAX_PAYLOAD = 4096  # bytes; a longer command is refused unread
EMPTY = "\x00"  # Homie's empty string: MQTT reads an empty payload as "delete this topic"
_INTEGER = re.compile(r"-?[0-9]{1,18}\Z")
_FLOAT = re.compile(r"-?[0-9]{1,18}(\.[0-9]{0,18})?([eE][-+]?[0-9]{1,3})?\Z")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


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


class HomieTopics:
    """Every topic of one device. Raises ConfigError for an id that can be no topic level."""

    def __init__(self, device_id: str, base: str = "homie") -> None:
        self.root = f"{check_id(base)}/5/{check_id(device_id)}"
        self.state = f"{self.root}/$state"  # retained; the last will goes there
        self.description = f"{self.root}/$description"  # retained
        self.commands = f"{self.root}/+/+/set"  # the subscription that covers every command
        self.alerts = f"{self.root}/$alert/+"  # ... and every alert

    def value(self, node_id: str, property_id: str) -> str:
        """Where a property's value is published."""
        return f"{self.root}/{node_id}/{property_id}"

    def alert(self, alert_id: str) -> str:
        """Where an alert is retained until it is over."""
        return f"{self.root}/$alert/{check_id(alert_id)}"

    def log(self, level: LogLevel) -> str:
        """Where log lines go, not retained."""
        return f"{self.root}/$log/{level}"

    def command(self, topic: str) -> tuple[str, str] | None:
        """(node, property) of a command topic; None for any other topic."""
        levels = topic.removeprefix(f"{self.root}/").split("/")
        if topic.startswith(self.root) and len(levels) == 3 and levels[2] == "set":
            node_id, property_id, _ = levels
            return (node_id, property_id) if ID.match(node_id) and ID.match(property_id) else None
        return None


def description(device: HomieDevice) -> str:
    """The `$description` document. Its version changes whenever its content does."""
    nodes: dict[str, Any] = {}
    for node in device.nodes:
        properties = {one.id: _describe(one) for one in node.properties}
        nodes[node.id] = {"name": node.name, "properties": properties}
    body = {"homie": "5.0", "name": device.name, "nodes": nodes}
    version = zlib.crc32(json.dumps(body, sort_keys=True).encode())
    return json.dumps({**body, "version": version}, ensure_ascii=False)


def _describe(one: HomieProperty) -> dict[str, Any]:
    told: dict[str, Any] = {"name": one.name, "datatype": one.datatype}
    for key in ("format", "unit"):
        if getattr(one, key):
            told[key] = getattr(one, key)
    return {**told, "settable": one.settable, "retained": one.retained}


def parse_value(one: HomieProperty, payload: bytes) -> HomieValue:
    """The value a command asks for, checked against the property.

    Numbers are rounded to the format's step. Raises ConfigError for anything that does not fit.
    """
    text = decode_text(payload)
    match one.datatype:
        case "boolean":
            return _one_of(one, text, ("true", "false")) == "true"
        case "enum":
            return _one_of(one, text, tuple(one.format.split(",")))
        case "integer" | "float":
            return _number(one, text)
        case "json":
            parse_json(text)
            return text
    if text == EMPTY:
        return ""
    if _CONTROL.search(text):
        raise ConfigError(f"expected text without control characters for {one.id}, got {text!r}")
    return text


def format_value(one: HomieProperty, value: HomieValue) -> str:
    """The payload of a value; raises ConfigError when its type is not the property's."""
    kind = one.datatype
    if isinstance(value, bool):
        if kind == "boolean":
            return "true" if value else "false"
    elif isinstance(value, int):
        if kind in ("integer", "float"):
            return str(value)
    elif isinstance(value, float):
        if kind == "float" and math.isfinite(value):
            return str(value)
    elif kind in ("string", "json") or (kind == "enum" and value in one.format.split(",")):
        return value or EMPTY
    raise ConfigError(f"expected a value for {one.datatype} {one.id} {one.format}, got {value!r}")


def decode_text(payload: bytes) -> str:
    """A command's payload as text; ConfigError when it is empty, too long or not UTF-8."""
    if not payload:
        raise ConfigError("expected a payload, got none")
    if len(payload) > MAX_PAYLOAD:
        raise ConfigError(f"expected at most {MAX_PAYLOAD} bytes, got {len(payload)}")
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"expected UTF-8, got {payload[:20]!r}") from error


def parse_json(text: str) -> Any:
    """A JSON object or array (Homie allows no bare values), strictly: no NaN, no deep nesting."""
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"expected JSON, got {text[:60]!r}") from error
    if not isinstance(value, dict | list):
        raise ConfigError(f"expected a JSON object or array, got {text[:60]!r}")
    return value


def _one_of(one: HomieProperty, text: str, allowed: tuple[str, ...]) -> str:
    if text not in allowed:
        raise ConfigError(f"expected one of {', '.join(allowed)} for {one.id}, got {text[:40]!r}")
    return text


def _number(one: HomieProperty, text: str) -> int | float:
    pattern = _INTEGER if one.datatype == "integer" else _FLOAT
    value = float(text) if pattern.match(text) else math.nan
    least, most, step = bounds(one)
    if math.isfinite(value) and step is not None:
        origin = least if least is not None else most if most is not None else 0.0
        steps = (value - origin) / step + 0.5
        if math.isfinite(steps):  # else so large that it is a multiple of any step
            value = origin + math.floor(steps) * step
    low, high = -math.inf if least is None else least, math.inf if most is None else most
    if not (math.isfinite(value) and low <= value <= high):
        raise ConfigError(
            f"expected {one.datatype} {one.format or 'number'} for {one.id}, got {text[:40]!r}"
        )
    return int(text) if one.datatype == "integer" and step is None else _as(one, value)


def _as(one: HomieProperty, value: float) -> int | float:
    return round(value) if one.datatype == "integer" else round(value, 12)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
