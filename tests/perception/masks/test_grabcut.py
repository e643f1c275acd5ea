"""Masks from points and boxes: on the thing, inside the frame, the same each time."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data

from foveal.demo.scene import CUP
from perception.features.backbone import Backbone, Features
from perception.masks.grabcut import ellipse, mask_from_box, mask_from_point, refine_seed
from stream.errors import PromptError
from stream.frame import Image, Mask
from stream.geometry import Box, mask_iou
from tests.doubles.perception import fake_features

SIZE = (96, 128)
DISC = (64, 48, 24)  # x, y, radius


def disc_mask(size: tuple[int, int] = SIZE) -> Mask:
    rows, cols = np.mgrid[: size[0], : size[1]]
    return np.asarray((cols - DISC[0]) ** 2 + (rows - DISC[1]) ** 2 <= DISC[2] ** 2)


def disc_picture() -> Image:
    """A red disc on a green ground, both with a little noise."""
    noise = np.random.default_rng(0).integers(-12, 13, (*SIZE, 3))
    flat = np.where(disc_mask()[..., None], (200, 40, 40), (40, 150, 60))
    return np.asarray(np.clip(flat + noise, 0, 255), np.uint8)


def disc_features() -> Features:
    """One look inside the disc, another outside, at stride 8."""
    small = cv2.resize(disc_mask().astype(np.float32), (16, 12), interpolation=cv2.INTER_AREA)
    dense = torch.zeros(168, 12, 16)
    dense[0], dense[1] = torch.from_numpy(small), torch.from_numpy(1 - small)
    return Features(torch.nn.functional.normalize(dense, dim=0), torch.zeros(1280, 3, 4), SIZE)


def test_a_box_gives_the_disc_in_it() -> None:
    mask = mask_from_box(disc_picture(), (36, 20, 92, 76))
    assert mask.shape == SIZE and mask.dtype == bool
    assert mask_iou(mask, disc_mask()) > 0.9


@pytest.mark.parametrize("point", [(64, 48), (50, 40), (75, 60)])
def test_a_point_gives_the_disc_under_it(point: tuple[int, int]) -> None:
    mask = mask_from_point(disc_picture(), point, disc_features())
    assert mask_iou(mask, disc_mask()) > 0.85


def test_a_coarse_seed_is_cut_along_the_border() -> None:
    seed = np.zeros((12, 16), np.float32)
    seed[3:9, 5:11] = 1.0
    coarse = np.kron(seed, np.ones((8, 8))) > 0
    refined = mask_iou(refine_seed(disc_picture(), seed), disc_mask())
    assert refined > 0.85 > mask_iou(coarse, disc_mask())


def test_a_seed_without_cells_is_an_empty_mask() -> None:
    mask = refine_seed(disc_picture(), np.zeros((12, 16), np.float32))
    assert mask.shape == SIZE and not mask.any()


def test_a_flat_picture_gives_the_ellipse_of_the_box() -> None:
    """Where colours say nothing the box still says where."""
    flat = np.full((*SIZE, 3), 128, np.uint8)
    mask = mask_from_box(flat, (20, 20, 60, 60))
    assert mask[40, 40] and not mask[:18].any() and not mask[:, 62:].any()
    assert 0.5 < mask.sum() / 1600 <= 1.0


@pytest.mark.parametrize(
    "box", [(200, 0, 220, 20), (-20, -20, 0, 0), (10, 10, 10, 40), (40, 40, 10, 10)]
)
def test_a_box_outside_the_frame_is_refused(box: Box) -> None:
    with pytest.raises(PromptError, match="expected a box"):
        mask_from_box(disc_picture(), box)


@pytest.mark.parametrize("point", [(-1, 0), (0, -1), (128, 0), (0, 96), (10**9, 5)])
def test_a_point_outside_the_frame_is_refused(point: tuple[int, int]) -> None:
    with pytest.raises(PromptError, match="expected a point"):
        mask_from_point(disc_picture(), point, disc_features())


SIDES = st.integers(1, 40)


@settings(max_examples=40, deadline=None)
@given(SIDES, SIDES, st.integers(0, 2**31), st.data())
def test_any_small_picture_gives_a_mask_that_meets_its_prompt(
    height: int, width: int, seed: int, data: st.DataObject
) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
    x0, y0 = data.draw(st.integers(-5, width - 1)), data.draw(st.integers(-5, height - 1))
    x1 = data.draw(st.integers(max(1, x0 + 1), width + 5))
    y1 = data.draw(st.integers(max(1, y0 + 1), height + 5))
    for mask in (
        mask_from_box(image, (x0, y0, x1, y1)),
        mask_from_point(image, (max(0, x0), max(0, y0)), fake_features((height, width))),
    ):
        assert mask.shape == (height, width) and mask.dtype == bool
        assert mask.any()
    assert mask_from_box(image, (x0, y0, x1, y1))[max(0, y0) : y1, max(0, x0) : x1].any()


@pytest.mark.parametrize("box", [(9, 0, 15, 2), (0, 0, 2, 2), (3, 1, 4, 2), (0, 0, 19, 2)])
@pytest.mark.parametrize("scale", [0.1, 0.5, 1.0])
def test_an_ellipse_in_a_thin_box_is_never_empty(
    box: tuple[int, int, int, int], scale: float
) -> None:
    inside = ellipse((2, 19), box, scale)
    assert inside[box[1] : box[3], box[0] : box[2]].any()


def test_the_same_picture_gives_the_same_mask() -> None:
    first = mask_from_box(disc_picture(), (30, 20, 92, 76))
    cv2.setRNGSeed(99)  # others draw from the same generator
    assert np.array_equal(first, mask_from_box(disc_picture(), (30, 20, 92, 76)))


def cup_picture() -> tuple[Image, Mask]:
    """scikit-image's coffee and the outline of its cup."""
    image = np.asarray(data.coffee(), np.uint8)
    mask = np.zeros(image.shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.array(CUP, np.int32)], 1)
    return image, mask.astype(bool)


def test_a_box_around_a_real_cup() -> None:
    image, cup = cup_picture()
    assert mask_iou(mask_from_box(image, (165, 10, 415, 310)), cup) > 0.7


@pytest.mark.assets
def test_a_point_on_a_real_cup(trained_backbone: Backbone) -> None:
    image, cup = cup_picture()
    mask = mask_from_point(image, (300, 130), trained_backbone.features(image))
    assert mask[130, 300]
    assert mask_iou(mask, cup) > 0.35
