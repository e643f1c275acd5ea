"""Pictures for the backbone: their sizes, and that shrinking averages."""

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data

from perception.features.preprocess import MAX_ASPECT, MIN_SIDE, shrink, to_rows


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 90), st.integers(1, 90))
def test_a_flat_picture_stays_flat_at_any_size(
    height: int, width: int, rows: int, cols: int
) -> None:
    flat = np.full((height, width, 3), (10, 128, 250), np.uint8)
    small = shrink(flat, (cols, rows))
    assert small.shape == (rows, cols, 3) and (small == (10, 128, 250)).all()


def test_shrinking_averages_what_a_pixel_covers() -> None:
    picture = cv2.resize(data.astronaut(), (1280, 720), interpolation=cv2.INTER_CUBIC)
    small = shrink(np.asarray(picture, np.uint8), (448, 256)).astype(np.int32)
    exact = cv2.resize(picture, (448, 256), interpolation=cv2.INTER_AREA).astype(np.int32)
    skipped = cv2.resize(picture, (448, 256), interpolation=cv2.INTER_NEAREST).astype(np.int32)
    assert np.abs(small - exact).mean() < 1.0 < 2.0 < np.abs(skipped - exact).mean()


@given(st.integers(1, 3000), st.integers(1, 3000))
@settings(max_examples=30, deadline=None)
def test_rows_keep_the_aspect_within_bounds(height: int, width: int) -> None:
    made = to_rows(np.zeros((height, width, 3), np.uint8), 64)
    assert made.shape[0] == 64 and made.shape[1] % MIN_SIDE == 0
    assert MIN_SIDE <= made.shape[1] <= MAX_ASPECT * 64
