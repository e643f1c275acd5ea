"""Masks that keep their points: several on the thing, and points off it."""

import numpy as np
import pytest

from perception.masks.cutter import settled
from perception.masks.prompts import PointsPrompt
from stream.errors import PromptError
from stream.frame import Mask
from stream.geometry import Point

LEFT, RIGHT = (slice(0, 4), slice(0, 4)), (slice(0, 4), slice(6, 10))


def area(*places: tuple[slice, slice]) -> Mask:
    mask = np.zeros((4, 10), bool)
    for place in places:
        mask[place] = True
    return mask


def under(point: Point) -> Mask:
    """Two things, with nothing between."""
    return area(LEFT if point[0] < 5 else RIGHT)


@pytest.mark.parametrize(
    "start,points,labels,wanted",
    [
        (area(LEFT), ((1, 1), (8, 1)), (), area(LEFT, RIGHT)),
        (area(LEFT, RIGHT), ((1, 1), (8, 1)), (True, False), area(LEFT)),
        (area(LEFT), ((1, 1), (8, 1)), (True, False), area(LEFT)),
        (area(RIGHT), ((8, 1), (1, 2), (1, 1)), (False, True, True), area(LEFT)),
    ],
)
def test_points_are_kept(
    start: Mask, points: tuple[tuple[float, float], ...], labels: tuple[bool, ...], wanted: Mask
) -> None:
    np.testing.assert_array_equal(settled(start, PointsPrompt(points, labels), under), wanted)


def test_points_of_one_region_are_refused() -> None:
    prompt = PointsPrompt(((1, 1), (2, 1)), (True, False))
    with pytest.raises(PromptError, match="told apart"):
        settled(area(LEFT), prompt, under)
