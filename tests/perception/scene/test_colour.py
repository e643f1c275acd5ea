"""Colours in the words that people use."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perception.scene.colour import colours_of

SIZE = (24, 32)


def plain(rgb: tuple[int, int, int]) -> np.ndarray:
    return np.full((*SIZE, 3), rgb, np.uint8)


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((220, 20, 30), "red"),
        ((190, 50, 20), "red"),
        ((250, 140, 20), "orange"),
        ((240, 220, 30), "yellow"),
        ((40, 160, 60), "green"),
        ((30, 60, 200), "blue"),
        ((120, 40, 200), "purple"),
        ((250, 160, 190), "pink"),
        ((110, 70, 40), "brown"),
        ((220, 200, 165), "beige"),
        ((250, 250, 250), "white"),
        ((128, 128, 130), "grey"),
        ((12, 10, 14), "black"),
    ],
)
def test_plain_colours(rgb: tuple[int, int, int], name: str) -> None:
    assert colours_of(plain(rgb), np.ones(SIZE, bool)) == (name,)


def test_two_colours_come_by_their_share_and_specks_do_not() -> None:
    image = plain((250, 250, 250))
    image[:, :12] = (30, 60, 200)
    image[:2, 30:] = (220, 20, 30)
    assert colours_of(image, np.ones(SIZE, bool)) == ("white", "blue")


def test_the_edge_does_not_count() -> None:
    image = plain((220, 20, 30))
    image[4:-4, 4:-4] = (30, 60, 200)
    mask = np.zeros(SIZE, bool)
    mask[3:-3, 3:-3] = True
    assert colours_of(image, mask) == ("blue",)


def test_an_empty_mask_has_none() -> None:
    with pytest.raises(ValueError, match="at least one pixel"):
        colours_of(plain((0, 0, 0)), np.zeros(SIZE, bool))


@given(st.tuples(*[st.integers(0, 255)] * 3), st.integers(0, 23), st.integers(0, 31))
def test_every_pixel_has_one_name(rgb: tuple[int, int, int], y: int, x: int) -> None:
    mask = np.zeros(SIZE, bool)
    mask[y, x] = True
    assert len(colours_of(plain(rgb), mask)) == 1
