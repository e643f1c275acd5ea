"""A profile's name or a YAML file -> Config."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from foveal.config.reading import build, from_file, nearest
from foveal.config.schema import PROFILES, Config
from stream.errors import ConfigError

BASE_KEY = "profile"  # in a file: the profile that its settings are laid over


def load_config(profile_or_path: str | Path = "embedded") -> Config:
    """A profile by name, or a YAML file of overrides; raises ConfigError naming the bad keys."""
    name = str(profile_or_path)
    if name in PROFILES:
        return parse_config({BASE_KEY: name})
    path = Path(profile_or_path)
    if not path.is_file():
        raise ConfigError(
            f"expected a profile ({', '.join(PROFILES)}) or a YAML file, got {name!r}, "
            f"which is neither{nearest(name, list(PROFILES))}"
        )
    return from_file(path, parse_config)


def parse_config(data: Mapping[Any, Any]) -> Config:
    """Settings as nested mappings, over the defaults or over the profile that they name."""
    rest = dict(data)
    base = rest.pop(BASE_KEY, "embedded")
    if not isinstance(base, str) or base not in PROFILES:
        raise ConfigError(
            f"{BASE_KEY}: expected one of {', '.join(PROFILES)}, got {base!r}"
            f"{nearest(base, list(PROFILES))}"
        )
    # Merged first, so that sections which depend on each other are judged together.
    return build(Config, _merge(_merge(config_dict(Config()), PROFILES[base]), rest))


def with_indexes(config: Config, own: Sequence[Path]) -> Config:
    """With more own indexes behind those that are configured, each once."""
    paths = tuple(dict.fromkeys((*config.index.paths, *(path.expanduser() for path in own))))
    return replace(config, index=replace(config.index, paths=paths))


def with_memory(config: Config, path: Path | None) -> Config:
    """With another memory's file than the one that is configured, where one is given."""
    if path is None:
        return config
    return replace(config, memory=replace(config.memory, path=path.expanduser()))


def config_dict(config: Config) -> dict[str, Any]:
    """Nested plain values, as YAML and JSON hold them."""
    return dict(TypeAdapter(Config).dump_python(config, mode="json"))


def settings(config: Config) -> dict[str, Any]:
    """Every setting by its path, such as "session.max_tracks"."""
    return dict(_leaves(config_dict(config), ""))


def _leaves(data: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in data.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _merge(below: Mapping[Any, Any], above: Mapping[Any, Any]) -> dict[Any, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[key] = _merge(old, value) if both and old is not None else value
    return merged
