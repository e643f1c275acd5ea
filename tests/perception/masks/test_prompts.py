"""Prompts: what is refused, and one turned into another."""

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
    checked,
    prompt_box,
    prompt_mask,
)
from stream.errors import PromptError
from stream.geometry import inner_point, mask_box

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


@given(st.integers(0, 79), st.integers(0, 59), st.integers(1, 80), st.integers(1, 60))
def test_box_to_mask_to_box(x: int, y: int, width: int, height: int) -> None:
    box = BoxPrompt((x, y, min(80, x + width), min(60, y + height)))
    mask = prompt_mask(box, SIZE)
    assert mask_box(mask) == box.box == prompt_box(MaskPrompt(mask), SIZE)
    col, row = inner_point(mask)
    assert mask[row, col]


def test_a_points_mask_covers_its_positive_points_only() -> None:
    mask = prompt_mask(PointsPrompt(((10.0, 10.0), (50.0, 40.0)), (True, False)), SIZE)
    assert mask[10, 10] and not mask[40, 50]


def test_the_deepest_point_of_a_ring_lies_on_the_ring() -> None:
    ring = np.zeros(SIZE, bool)
    ring[10:50, 10:50] = True
    ring[18:42, 18:42] = False
    col, row = inner_point(ring)
    assert ring[row, col]
