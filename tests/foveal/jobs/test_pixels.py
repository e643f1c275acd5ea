"""Numbers of pixels on a command line."""

import pytest

from foveal.jobs.pixels import parse_box, parse_point
from stream.errors import PromptError


@pytest.mark.parametrize(
    "text,box",
    [
        ("1,2,30,40", (1, 2, 30, 40)),
        ("-5,80,60,120", (-5, 80, 60, 120)),
        ("10.6,2.2,30.1,40", (10, 2, 31, 40)),  # the pixels that it touches
        (" 1, 2, 3, 4", (1, 2, 3, 4)),
        ("0,0,1,1", (0, 0, 1, 1)),
    ],
)
def test_boxes(text: str, box: tuple[int, int, int, int]) -> None:
    assert parse_box(text) == box


@pytest.mark.parametrize("text", ["", "1,2,3", "a,b,c,d", "1,2,3,nan", "1,2,3,inf", "1,2,3,1e12"])
def test_what_is_no_box(text: str) -> None:
    with pytest.raises(PromptError, match="expected --box X0,Y0,X1,Y1 in pixels"):
        parse_box(text)


@pytest.mark.parametrize("text", ["0.1,0.2,0.5,0.6", "0,0,0.5,1"])
def test_shares_of_the_picture_are_no_pixels(text: str) -> None:
    with pytest.raises(PromptError, match="got shares of the picture"):
        parse_box(text)


def test_a_point_lies_in_its_pixel() -> None:
    assert parse_point("10.9,3") == (10, 3)
