"""Proposals: what stands out is found; any features give masks of the frame's size."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.features.backbone import Backbone, Features
from perception.masks.proposals import ProposalConfig, propose
from stream.geometry import mask_iou
from tests.doubles.perception import fake_features
from tests.perception.masks.test_grabcut import cup_picture, disc_features, disc_mask, disc_picture


def test_a_thing_that_stands_out_is_proposed_first() -> None:
    best, *_ = propose(disc_picture(), disc_features())
    # Grouping may cut a thing into parts, but what it finds is the thing.
    assert (best.mask & disc_mask()).sum() > 0.85 * best.mask.sum()
    assert mask_iou(best.mask, disc_mask()) > 0.5
    assert 0.5 < best.saliency <= 1


def test_what_is_known_is_not_worked_out_again() -> None:
    assert propose(disc_picture(), disc_features(), known=[np.ones((96, 128), bool)]) == ()
    free = propose(disc_picture(), disc_features())
    far = np.zeros((96, 128), bool)
    far[:8, :8] = True
    assert len(propose(disc_picture(), disc_features(), known=[far])) == len(free)


def test_a_flat_picture_has_nothing_that_stands_out() -> None:
    flat = np.full((96, 128, 3), 128, np.uint8)
    assert propose(flat, fake_features((96, 128))) == ()


@settings(max_examples=15, deadline=None)
@given(
    st.integers(1, 64),
    st.integers(1, 64),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(0, 2**31),
    st.integers(1, 5),
)
def test_any_picture_and_any_features(
    height: int, width: int, rows: int, cols: int, seed: int, limit: int
) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
    drawn = torch.from_numpy(rng.standard_normal((168, rows, cols)).astype(np.float32))
    dense = torch.nn.functional.normalize(drawn, dim=0)
    features = Features(dense, torch.zeros(1280, 1, 1), (height, width))
    found = propose(image, features, ProposalConfig(rows=6, limit=limit))
    assert len(found) <= limit
    assert [one.saliency for one in found] == sorted((o.saliency for o in found), reverse=True)
    for one in found:
        assert one.mask.shape == (height, width) and one.mask.dtype == bool and one.mask.any()
        assert 0 < one.saliency <= 1
    for index, one in enumerate(found):
        for other in found[:index]:
            smaller = min(one.mask.sum(), other.mask.sum())
            assert (one.mask & other.mask).sum() < 0.5 * smaller


def test_the_same_picture_gives_the_same_proposals() -> None:
    runs = [propose(disc_picture(), disc_features()) for _ in range(2)]
    assert [one.saliency for one in runs[0]] == [one.saliency for one in runs[1]]
    assert all(np.array_equal(a.mask, b.mask) for a, b in zip(*runs, strict=True))


@pytest.mark.assets
def test_the_cup_is_among_the_proposals(trained_backbone: Backbone) -> None:
    image, cup = cup_picture()
    found = propose(image, trained_backbone.features(image))
    # Grouping cuts a large thing into parts; one of them lies on the cup.
    assert any((one.mask & cup).sum() > 0.6 * one.mask.sum() for one in found)
