"""How far a picture moved: found where two frames show the same, else nothing is made up."""

import numpy as np
import pytest

from reasoning.vlm.local.drift import STILL, drift, moved
from stream.frame import Image


def scene() -> Image:
    """A photograph with room around it."""
    from skimage import data

    image: Image = np.ascontiguousarray(data.coffee())
    return image


@pytest.mark.parametrize(("across", "down"), [(0, 0), (24, 0), (-18, 10), (30, -20)])
def test_a_shift_is_found(across: int, down: int) -> None:
    whole, height, width = scene(), 300, 480
    before = whole[50 : 50 + height, 60 : 60 + width]
    now = whole[50 - down : 50 - down + height, 60 - across : 60 - across + width]
    found = drift(before, now)
    assert found == pytest.approx((across / width * 1000, down / height * 1000), abs=4)


def test_another_scene_moves_nothing() -> None:
    from skimage import data

    assert drift(scene(), np.ascontiguousarray(data.astronaut())) == STILL
    noise = np.random.default_rng(0).integers(0, 255, (90, 160, 3), np.uint8)
    assert drift(noise, np.zeros_like(noise)) == STILL


def test_places_move_inside_the_picture() -> None:
    assert moved((100, 200, 300, 990), (50, 20)) == (150, 220, 350, 1000)
    assert moved((10, 20), (-50, 0)) == (0, 20)
