"""Places in pictures as they stand on a command line: numbers of pixels with commas between."""

import math

from stream.errors import PromptError
from stream.geometry import Box

MAX_PIXEL = 1e9


def parse_numbers(text: str, count: int, form: str) -> list[float]:
    """That many finite numbers; raises PromptError, which says the `form` that was expected."""
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) != count or not all(abs(value) < MAX_PIXEL for value in values):
        raise PromptError(f"expected {form} in pixels, got {text!r}")
    if all(0 <= value <= 1 for value in values) and any(value % 1 for value in values):
        raise PromptError(f"expected {form} in pixels, got shares of the picture: {text!r}")
    return values


def parse_box(text: str, option: str = "--box") -> Box:
    """X0,Y0,X1,Y1, x1 and y1 exclusive; of fractions, the pixels that the box touches."""
    x0, y0, x1, y1 = parse_numbers(text, 4, f"{option} X0,Y0,X1,Y1")
    return math.floor(x0), math.floor(y0), math.ceil(x1), math.ceil(y1)


def parse_point(text: str, option: str = "--point") -> tuple[int, int]:
    """X,Y; of fractions, the pixel that holds the point."""
    x, y = parse_numbers(text, 2, f"{option} X,Y")
    return math.floor(x), math.floor(y)
