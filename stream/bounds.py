"""Least and greatest values of numbers in settings, told by their types."""

from typing import Annotated, get_type_hints

from annotated_types import Interval

from stream.errors import ConfigError


def within(least: float, most: float) -> Interval:
    """In `Annotated[int, within(1, 64)]`: both ends are allowed."""
    return Interval(ge=least, le=most)


Share = Annotated[float, within(0.0, 1.0)]


def check_bounds(settings: object) -> None:
    """For `__post_init__`: raises ConfigError naming a number outside the bounds of its type.

    Files are held to the same types where they are read (`foveal.config.reading`).
    """
    for name, hint in get_type_hints(type(settings), include_extras=True).items():
        for bound in getattr(hint, "__metadata__", ()):
            value = getattr(settings, name)
            if not bound.ge <= value <= bound.le:
                raise ConfigError(f"expected {name} from {bound.ge:g} to {bound.le:g}, got {value}")
