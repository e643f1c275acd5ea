"""Reads settings: a profile's name or a YAML file -> Config, each value checked by key.

Messages name the key by its path ("session.max_tracks"), what was expected and what came.
"""

import difflib
import math
import types
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import yaml

from foveal.config.schema import BOUNDS, PROFILES, Config
from stream.errors import ConfigError

T = TypeVar("T")

MAX_FILE_BYTES = 1 << 20
BASE_KEY = "profile"  # in a file: the profile that its settings are laid over


def load_config(profile_or_path: str | Path = "embedded") -> Config:
    """A profile by name, or a YAML file of overrides; raises ConfigError naming the bad key."""
    name = str(profile_or_path)
    if name in PROFILES:
        return parse_config({BASE_KEY: name})
    path = Path(profile_or_path)
    if not path.is_file():
        raise ConfigError(
            f"expected a profile ({', '.join(PROFILES)}) or a YAML file, got {name!r}, "
            f"which is neither{_nearest(name, list(PROFILES))}"
        )
    try:
        return parse_config(_read_yaml(path))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def parse_config(data: Mapping[str, Any]) -> Config:
    """Settings as nested mappings, over the defaults or over the profile that they name."""
    rest = dict(data)
    base = rest.pop(BASE_KEY, "embedded")
    if not isinstance(base, str) or base not in PROFILES:
        raise ConfigError(
            f"{BASE_KEY}: expected one of {', '.join(PROFILES)}, got {base!r}"
            f"{_nearest(str(base), list(PROFILES))}"
        )
    # Merged first, so that sections which depend on each other are judged together.
    return _override(Config(), _merge(PROFILES[base], rest), "")


def config_dict(config: Config) -> dict[str, Any]:
    """Nested plain values, as YAML and JSON hold them."""
    return dict(_plain(config))


def settings(config: Config) -> dict[str, Any]:
    """Every setting by its path, such as "session.max_tracks"."""
    return dict(_leaves(config_dict(config), ""))


def _leaves(data: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in data.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    return str(value) if isinstance(value, Path) else value


def _merge(below: Mapping[str, Any], above: Mapping[Any, Any]) -> dict[Any, Any]:
    merged: dict[Any, Any] = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[key] = _merge(old, value) if both and old is not None else value
    return merged


def _override(instance: T, data: object, path: str) -> T:
    """A copy of a settings dataclass with the given values in place of its own."""
    where = path.rstrip(".") or "the file"
    if not isinstance(data, Mapping):
        raise ConfigError(f"{where}: expected a mapping of settings, got {_kind(data)}")
    hints = get_type_hints(type(instance))
    changes: dict[str, Any] = {}
    for key, value in data.items():
        if not isinstance(key, str) or key not in hints:
            known = ", ".join(hints)
            raise ConfigError(
                f"{path}{key}: no such setting{_nearest(str(key), list(hints))}; "
                f"known in {where}: {known}"
            )
        current = getattr(instance, key)
        if is_dataclass(current) and not isinstance(current, type):
            changes[key] = _override(current, value, f"{path}{key}.")
        else:
            changes[key] = _check(value, hints[key], f"{path}{key}")
    try:
        return replace(instance, **changes)  # type: ignore[type-var]
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}" if path else str(error)) from error


def _check(value: object, kind: Any, path: str) -> object:
    """The value as the type says, within the bounds of its key."""
    if isinstance(kind, types.UnionType):
        if value is None and type(None) in get_args(kind):
            return None
        kind = next(option for option in get_args(kind) if option is not type(None))
    if get_origin(kind) is Literal:
        return _check_choice(value, get_args(kind), path)
    if kind is bool:
        return _expect(value, isinstance(value, bool), "true or false", path)
    if kind is int:
        right = isinstance(value, int) and not isinstance(value, bool)
        return _bounded(_expect(value, right, "a whole number", path), path)
    if kind is float:
        right = isinstance(value, int | float) and not isinstance(value, bool)
        expected = "a number (1.0e-3, not 1e-3, in YAML)"
        return _bounded(_expect(value, right, expected, path), path, as_float=True)
    if kind is Path:
        right = isinstance(value, str) and bool(value.strip()) and "\0" not in value
        return Path(str(_expect(value, right, "a path", path))).expanduser()
    return _expect(value, isinstance(value, kind), f"a {kind.__name__}", path)


def _expect(value: object, right: bool, expected: str, path: str) -> Any:
    if not right:
        raise ConfigError(f"{path}: expected {expected}, got {_kind(value)}")
    return value


def _check_choice(value: object, choices: tuple[Any, ...], path: str) -> object:
    if value not in choices:
        known = ", ".join(map(str, choices))
        raise ConfigError(
            f"{path}: expected one of {known}, got {value!r}"
            f"{_nearest(str(value), [str(choice) for choice in choices])}"
        )
    return value


def _bounded(value: int | float, path: str, as_float: bool = False) -> int | float:
    low, high = BOUNDS.get(path, (-math.inf, math.inf))
    if not low <= value <= high:
        raise ConfigError(f"{path}: expected {low:g} to {high:g}, got {value}")
    return float(value) if as_float else value


def _kind(value: object) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text[:60]}{'…' if len(text) > 60 else ''}"


def _nearest(word: str, known: list[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if str(key.value) in seen:
                raise ConfigError(f"{key.value}: given twice (line {key.start_mark.line + 1})")
            seen.add(str(key.value))
        return super().construct_mapping(node, deep=deep)


def _read_yaml(path: Path) -> Mapping[str, Any]:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(f"expected settings of at most {MAX_FILE_BYTES} bytes")
        data = yaml.load(path.read_text(encoding="utf-8"), _StrictLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigError(f"expected a readable YAML file: {error}") from error
    if data is None:
        return {}
    if not isinstance(data, Mapping):
        raise ConfigError(f"expected a mapping of settings, got {_kind(data)}")
    return data
