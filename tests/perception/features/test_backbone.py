"""One pass gives dense and top features; classes from masks and crops."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data

from perception.features.backbone import Backbone, masked_mean
from stream.errors import AssetError
from stream.frame import Image


def _noise(height: int, width: int, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_dense_features_are_unit_vectors_at_stride_eight(random_backbone: Backbone) -> None:
    features = random_backbone.features(_noise(180, 320))
    assert features.dense.shape[1:] == (32, 56)  # 256 rows; 455 columns round to 448
    assert features.top.shape == (1280, 8, 14)
    assert features.image_size == (180, 320)
    assert torch.allclose(features.dense.norm(dim=0), torch.ones(32, 56), atol=1e-4)


@settings(max_examples=8, deadline=None)
@given(st.integers(1, 200), st.integers(1, 200))
def test_every_frame_size_gives_features(
    random_backbone: Backbone, height: int, width: int
) -> None:
    features = random_backbone.features(_noise(height, width), height=64)
    assert features.image_size == (height, width)
    assert bool(torch.isfinite(features.dense).all())
    assert min(features.dense.shape[1:]) >= 4


def test_posteriors_sum_to_one_for_frame_and_masks(random_backbone: Backbone) -> None:
    image = _noise(96, 128)
    features = random_backbone.features(image, height=96)
    mask = np.zeros((96, 128), bool)
    mask[20:60, 30:90] = True
    whole = random_backbone.class_posteriors(features.top.mean((1, 2))[None])
    means = [masked_mean(features.top, shown) for shown in (mask, np.zeros_like(mask))]
    some = random_backbone.class_posteriors(torch.stack(means))
    assert whole.shape == (1, 1000)
    assert some.shape == (2, 1000)
    assert np.allclose(some.sum(axis=1), 1, atol=1e-4)
    assert np.allclose(some[1], whole[0], atol=1e-5)  # nothing to see: the whole frame
    assert not np.allclose(some[0], whole[0], atol=1e-6)


def test_posteriors_of_nothing_are_empty(random_backbone: Backbone) -> None:
    assert random_backbone.class_posteriors(random_backbone.pooled([])).shape == (0, 1000)


def test_names_and_weights_line_up_with_classes(random_backbone: Backbone) -> None:
    assert len(random_backbone.class_names) == len(random_backbone.class_synonyms) == 1000
    assert random_backbone.class_synonyms[0][0] == random_backbone.class_names[0] == "tench"
    assert random_backbone.classifier_weight.shape == (1000, 1280)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pth"
    torch.save({"weight": torch.zeros(3)}, wrong)
    with pytest.raises(AssetError, match="expected EfficientNet-Lite2 weights"):
        Backbone.load(wrong)
    with pytest.raises(AssetError, match="foveal models pull"):
        Backbone.load(tmp_path / "absent.pth")


@pytest.mark.assets
def test_trained_weights_name_a_cat_and_a_cup(trained_backbone: Backbone) -> None:
    chelsea, coffee = data.chelsea(), data.coffee()
    rows = trained_backbone.class_posteriors(trained_backbone.pooled([chelsea, coffee]))
    best = [trained_backbone.class_names[row.argmax()] for row in rows]
    assert "cat" in best[0]
    assert best[1] in {"espresso", "cup", "coffee mug"}


@pytest.mark.assets
def test_the_shared_pass_agrees_with_the_classifier(trained_backbone: Backbone) -> None:
    chelsea = data.chelsea()
    top = trained_backbone.features(chelsea).top
    shared = trained_backbone.class_posteriors(top.mean((1, 2))[None])[0]
    crop = trained_backbone.class_posteriors(trained_backbone.pooled([chelsea]))[0]
    assert shared.argmax() in crop.argsort()[-5:]
