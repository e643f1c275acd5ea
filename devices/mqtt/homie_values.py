"""The values that travel on Homie topics, read from and written as payloads. Pure.

Source: The Homie Convention 5.0 (homieiot.github.io), "Payloads".
"""

import json
import math
import re
from typing import Any

from devices.mqtt.homie_properties import HomieProperty, HomieValue, bounds
from stream.errors import ConfigError

MAX_PAYLOAD = 4096  # bytes; a longer command is refused unread
EMPTY = "\x00"  # Homie's empty string: MQTT reads an empty payload as "delete this topic"
_INTEGER = re.compile(r"-?[0-9]{1,18}\Z")
_FLOAT = re.compile(r"-?[0-9]{1,18}(\.[0-9]{0,18})?([eE][-+]?[0-9]{1,3})?\Z")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


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
