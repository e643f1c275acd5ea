"""Run-length codes and boxes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from stream.errors import PromptError
from stream.frame import Mask
from stream.geometry import (
    Rle,
    box_iou,
    clip_box,
    decode_mask,
    encode_mask,
    encode_part,
    mask_box,
    mask_iou,
)

masks = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=12))


@given(masks)
def test_rle_round_trip(mask: Mask) -> None:
    rle = encode_mask(mask)
    assert rle.area == mask.sum()
    np.testing.assert_array_equal(decode_mask(rle), mask)


def test_rle_is_coco_column_major() -> None:
    mask = np.array([[False, True], [True, True]])
    assert encode_mask(mask).counts == (1, 3)
    assert encode_mask(~np.zeros((2, 2), bool)).counts == (0, 4)


@given(st.lists(st.integers(-3, 9), max_size=6))
def test_rle_refuses_runs_that_do_not_fill(counts: list[int]) -> None:
    if sum(counts) == 6 and all(run >= 0 for run in counts):
        assert Rle((2, 3), tuple(counts)).size == (2, 3)
    else:
        with pytest.raises(PromptError, match="runs that sum to 6"):
            Rle((2, 3), tuple(counts))


@given(masks)
def test_mask_box_is_tight(mask: Mask) -> None:
    box = mask_box(mask)
    if box is None:
        assert not mask.any()
        return
    x0, y0, x1, y1 = box
    assert mask[y0:y1, x0:x1].sum() == mask.sum()
    inner = mask[y0:y1, x0:x1]
    assert inner[0].any() and inner[-1].any() and inner[:, 0].any() and inner[:, -1].any()


def test_overlaps() -> None:
    empty = np.zeros((3, 3), bool)
    assert mask_iou(empty, empty) == 1.0
    assert mask_iou(empty, ~empty) == 0.0
    assert box_iou((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert box_iou((0, 0, 1, 1), (1, 1, 2, 2)) == 0.0


def test_clip_box() -> None:
    assert clip_box((-5, -5, 3, 4), 10, 10) == (0, 0, 3, 4)
    with pytest.raises(PromptError, match="meets the 10x8 frame"):
        clip_box((20, 0, 30, 5), 8, 10)


@given(masks, st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))
def test_a_part_is_encoded_as_the_whole_mask_is(
    part: Mask, left: int, top: int, right: int, bottom: int
) -> None:
    whole = np.pad(part, ((top, bottom), (left, right)))
    size = (whole.shape[0], whole.shape[1])
    assert encode_part(part, (left, top), size) == encode_mask(whole)
