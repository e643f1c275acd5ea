"""Looks as sign bits."""

from collections.abc import Sequence

import numpy as np
import pytest

from retrieval.encoders.appearance import SignAppearance, likeness, sign_bits
from retrieval.encoders.joint import LOOK_BYTES, Appearance
from retrieval.encoders.text import Vectors
from stream.errors import QueryError
from stream.frame import Image

RNG = np.random.default_rng(0)
PROJECTION = RNG.standard_normal((3, 1280)).astype(np.float32)


def colours(images: Sequence[Image]) -> Vectors:
    """Mean colours, in 1,280 random directions."""
    means = np.array([image.reshape(-1, 3).mean(axis=0) for image in images]) - 127
    return np.asarray(means @ PROJECTION, np.float32)


@pytest.fixture
def appearance() -> Appearance:
    return SignAppearance(colours)


def test_alike_regions_have_alike_looks(appearance: Appearance) -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    image[:20, :, 0], image[20:, :, 2] = 255, 255
    red, blue = image[..., 0] > 0, image[..., 2] > 0
    look = appearance.look(image, red)
    assert len(look) == LOOK_BYTES and look == appearance.look(image, red)
    left = red.copy()
    left[:, 30:] = False
    known = np.frombuffer(look + appearance.look(image, blue), np.uint8).reshape(2, -1)
    near = likeness(known, appearance.look(image, left))
    assert near[0] > 0.9 > near[1]


def test_equal_bits_estimate_the_cosine() -> None:
    one = RNG.standard_normal(1280).astype(np.float32)
    two = (0.8 * one + 0.6 * RNG.standard_normal(1280)).astype(np.float32)
    cosine = one @ two / np.linalg.norm(one) / np.linalg.norm(two)
    known = np.frombuffer(sign_bits(one) + sign_bits(two) + sign_bits(-one), np.uint8)
    same, near, opposite = likeness(known.reshape(3, -1), sign_bits(one))
    assert (same, opposite) == (1, -1) and near == pytest.approx(cosine, abs=0.1)


def test_what_does_not_fit_is_refused(appearance: Appearance) -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(QueryError, match="empty mask"):
        appearance.look(image, np.zeros((8, 8), bool))
    with pytest.raises(QueryError, match="1280 finite features"):
        SignAppearance(lambda images: colours(images)[:, :7]).look(image, np.ones((8, 8), bool))
    with pytest.raises(QueryError, match="looks of 160 bytes"):
        likeness(np.zeros((2, 159), np.uint8), bytes(160))
