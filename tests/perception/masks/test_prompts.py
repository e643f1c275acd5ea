"""Prompts: what is refused; a region as mask, box and point, and back."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perception.masks.prompts import (
    BoxPrompt,
    MaskPrompt,
    PointsPrompt,
    Prompt,
    as_prompt,
    checked,
    forms_of,
)
from stream.errors import PromptError
from stream.events import Region
from stream.frame import Mask
from stream.geometry import encode_mask, inner_point, mask_box

SIZE = (60, 80)

REFUSED: list[tuple[str, Prompt, str]] = [
    ("empty mask", MaskPrompt(np.zeros(SIZE, bool)), "at least one pixel"),
    ("mask of another size", MaskPrompt(np.ones((10, 10), bool)), "frame's size"),
    ("box outside", BoxPrompt((90, 0, 99, 9)), "meets the 80x60 frame"),
    ("box without area", BoxPrompt((10, 10, 10, 20)), "x0 < x1"),
    ("box turned round", BoxPrompt((30, 30, 10, 10)), "x0 < x1"),
    ("box not finite", BoxPrompt((0, 0, math.inf, 9)), "finite"),  # type: ignore[arg-type]
    ("point outside", PointsPrompt(((80.0, 5.0),)), "inside the 80x60 frame"),
    ("point not a number", PointsPrompt(((math.nan, 5.0),)), "inside the 80x60 frame"),
    ("no point", PointsPrompt(()), "1 to 64 points"),
    ("too many points", PointsPrompt(((1.0, 1.0),) * 65), "1 to 64 points"),
    ("labels missing", PointsPrompt(((1.0, 1.0), (2.0, 2.0)), (True,)), "one label a point"),
    ("only points off it", PointsPrompt(((1.0, 1.0),), (False,)), "on the thing"),
]


@pytest.mark.parametrize(
    ("prompt", "reason"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED]
)
def test_unusable_prompts_are_refused_with_the_reason(prompt: Prompt, reason: str) -> None:
    with pytest.raises(PromptError, match=reason):
        checked(prompt, SIZE)


def test_a_box_is_clipped_and_a_bare_mask_is_taken() -> None:
    assert checked(BoxPrompt((-5, -5, 20, 100)), SIZE) == BoxPrompt((0, 0, 20, 60))
    mask = np.zeros(SIZE, bool)
    mask[3, 4] = True
    prompt = checked(mask, SIZE)
    assert isinstance(prompt, MaskPrompt) and prompt.mask is mask


def test_points_without_labels_are_on_the_thing() -> None:
    prompt = checked(PointsPrompt(((1.0, 2.0), (3.0, 4.0))), SIZE)
    assert isinstance(prompt, PointsPrompt) and prompt.labels == (True, True)


def test_the_deepest_point_of_a_ring_lies_on_the_ring() -> None:
    ring = np.zeros(SIZE, bool)
    ring[10:50, 10:50] = True
    ring[18:42, 18:42] = False
    col, row = inner_point(ring)
    assert ring[row, col]


def region(mask: Mask, score: float = 0.7) -> Region:
    return Region(3, 5, encode_mask(mask), mask_box(mask), score)


@given(st.lists(st.booleans(), min_size=70, max_size=70).filter(any))
def test_all_forms_tell_of_the_same_pixels(bits: list[bool]) -> None:
    mask = np.array(bits).reshape(7, 10)
    forms = forms_of(region(mask))
    assert (forms.mask == mask).all() and forms.confidence == 0.7
    assert forms.box is not None and forms.point is not None
    x, y = forms.point
    assert mask[y, x], "the point lies on the thing"
    assert as_prompt(forms, "box") == BoxPrompt(forms.box)
    given_mask = as_prompt(forms, "mask")
    assert isinstance(given_mask, MaskPrompt) and mask_box(given_mask.mask) == forms.box
    assert as_prompt(forms, "point") == PointsPrompt(((float(x), float(y)),))


def test_the_point_is_the_deepest_pixel() -> None:
    mask = np.zeros((40, 40), bool)
    mask[5:25, 5:25] = True
    mask[14:16, 25:38] = True  # a thin tail moves the centre of mass, not the deepest pixel
    forms = forms_of(region(mask))
    assert forms.point is not None
    assert abs(forms.point[0] - 14.5) <= 1 and abs(forms.point[1] - 14.5) <= 1


def test_out_of_view_has_neither_box_nor_point() -> None:
    forms = forms_of(region(np.zeros((4, 4), bool), 0.0))
    assert forms.box is None and forms.point is None and not forms.mask.any()
    with pytest.raises(PromptError, match="in view"):
        as_prompt(forms, "box")
