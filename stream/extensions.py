"""Parts that other installed packages add, found by their entry points (docs/library.md)."""

from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from stream.errors import ConfigError

Group = Literal["commands", "encoders", "models", "searchers", "sources", "speakers", "trackers"]


@lru_cache(maxsize=16)
def known(group: Group) -> dict[str, EntryPoint]:
    """What is installed of a group, by name; nothing of it is imported."""
    return {point.name: point for point in entry_points(group=f"foveal.{group}")}


def named(group: Group, text: str) -> tuple[str, str] | None:
    """The extension's name and what follows its colon, of NAME or NAME:REST; None for others."""
    name, _, rest = text.partition(":")
    return (name, rest) if name in known(group) else None


def load(group: Group, name: str) -> Callable[..., Any]:
    """The factory that an entry point names; raises ConfigError where it cannot be imported."""
    point = known(group)[name]
    try:
        found = point.load()
    except Exception as error:  # whatever a module of others raises while it is imported
        package = point.dist.name if point.dist else point.value
        raise ConfigError(
            f"expected {point.value} for {name!r}, which {package} adds to foveal.{group}, "
            f"got: {error}; update or uninstall that package"
        ) from error
    if not callable(found):
        raise ConfigError(f"expected {point.value} to be callable, got {type(found).__name__}")
    factory: Callable[..., Any] = found
    return factory
