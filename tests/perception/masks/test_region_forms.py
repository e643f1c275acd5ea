"""A region as mask, box and point, and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perception.masks.prompts import BoxPrompt, MaskPrompt, PointsPrompt, prompt_box
from perception.masks.region_forms import as_prompt, forms_of
from stream.errors import PromptError
from stream.events import Region
from stream.frame import Mask
from stream.geometry import encode_mask, mask_box


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
    assert isinstance(given_mask, MaskPrompt) and prompt_box(given_mask, (7, 10)) == forms.box
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
