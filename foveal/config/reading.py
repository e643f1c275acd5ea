"""Reads settings: YAML -> dataclasses, checked by their types; every wrong key is told at once.

Messages name the key by its path ("session.max_tracks"), what was expected and what came.
"""

import difflib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

import yaml
from pydantic import BeforeValidator, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from stream.errors import ConfigError

T = TypeVar("T")

MAX_FILE_BYTES = 1 << 20
STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)  # of the outermost dataclass
NUMBER = "a number (1.0e-3, not 1e-3, in YAML)"
EXPECTED = {  # by pydantic's names of what is wrong
    "bool_type": "true or false",
    "int_type": "a whole number",
    "float_type": NUMBER,
    "finite_number": NUMBER,
    "string_type": "text",
    "tuple_type": "a list",
    "dataclass_type": "a mapping of settings",
}


def _home(value: object) -> object:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ValueError(f"expected a path, got {shown(value)}")
    return str(Path(value).expanduser())


FilePath = Annotated[Path, BeforeValidator(_home)]


def build(kind: type[T], data: Mapping[Any, Any]) -> T:
    """A settings dataclass from nested plain values; raises ConfigError with a line a wrong key."""
    try:
        # As JSON, where a list may become a tuple and text a path, and nothing else is converted.
        return TypeAdapter(kind).validate_json(json.dumps(data, default=str))
    except ValidationError as error:
        raise ConfigError("\n".join(_told(kind, one) for one in error.errors())) from error
    except (TypeError, ValueError, RecursionError) as error:  # what JSON cannot say
        raise ConfigError(f"expected plain values by name: {error}") from error


def from_file(path: Path, parse: Callable[[Mapping[Any, Any]], T]) -> T:
    """A YAML mapping through `parse`; raises ConfigError that begins with the file."""
    try:
        return parse(_read_yaml(path))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def load_settings(kind: type[T], path: Path) -> T:
    """A settings dataclass from a YAML file; raises ConfigError naming the keys that do not fit."""
    return from_file(path, partial(build, kind))


def nearest(word: object, known: Sequence[str]) -> str:
    """A hint at the known name that is most like a word, or nothing."""
    near = difflib.get_close_matches(str(word), known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


def shown(value: object) -> str:
    """A value and its type, at most about 60 characters of it."""
    text = repr(value)
    return f"{type(value).__name__} {text[:60]}{'…' if len(text) > 60 else ''}"


def _told(kind: type, error: ErrorDetails) -> str:
    """One wrong key: its path, what was expected, what came."""
    *section, key = map(str, error["loc"] or ("",))
    path = ".".join((*section, key)) or "the file"
    why, value, context = error["type"], error["input"], error.get("ctx", {})
    match why:
        case "value_error":
            return f"{path}: {context['error']}" if key else str(context["error"])
        case "unexpected_keyword_argument":
            known = _known(kind, section)
            where = ".".join(section) or "the file"
            hint = f"{nearest(key, known)}; known in {where}: {', '.join(known)}"
            return f"{path}: no such setting{hint}"
        case "literal_error":
            known = re.findall(r"'([^']*)'", context["expected"])
            came = f"{value!r}{nearest(value, known)}"
            return f"{path}: expected one of {', '.join(known)}, got {came}"
        case "greater_than_equal" | "less_than_equal":
            ((name, limit),) = context.items()
            bound = f"{limit:g} or {'more' if name == 'ge' else 'less'}"
            return f"{path}: expected {bound}, got {value}"
    expected = EXPECTED.get(why, error["msg"])
    return f"{path}: expected {expected}, got {shown(value)}"


def _known(kind: Any, section: Sequence[str]) -> list[str]:
    """The settings of a section, by its path below a dataclass."""
    for name in section:
        hint = get_type_hints(kind)[name]
        kind = next(one for one in (hint, *get_args(hint)) if is_dataclass(one))
    return [one.name for one in fields(kind)]


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if str(key.value) in seen:
                raise ConfigError(f"{key.value}: given twice (line {key.start_mark.line + 1})")
            seen.add(str(key.value))
        return super().construct_mapping(node, deep=deep)


def _read_yaml(path: Path) -> Mapping[Any, Any]:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(f"expected settings of at most {MAX_FILE_BYTES} bytes")
        data = yaml.load(path.read_text(encoding="utf-8"), _StrictLoader)  # noqa: S506 - a SafeLoader
    except ConfigError:
        raise
    except (OSError, yaml.YAMLError, RecursionError, ValueError) as error:
        reason = " ".join(str(error).split())  # YAML's own take several lines
        raise ConfigError(f"expected a readable YAML file: {reason}") from error
    if not isinstance(data, Mapping | None):
        raise ConfigError(f"expected a mapping of settings, got {shown(data)}")
    return data or {}
