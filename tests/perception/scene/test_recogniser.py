"""The recogniser: ImageNet's classes and everyday names together."""

from pathlib import Path

import numpy as np
import pytest
import torch

from perception.detect.coco import EVERYDAY
from perception.features.backbone import Backbone
from perception.scene.recogniser import EverydayHead, Recogniser, load_head, save_head
from stream.errors import AssetError
from stream.frame import Image, Mask


def head(bias: float = 0.0, seed: int = 0) -> EverydayHead:
    random = np.random.default_rng(seed)
    weight = random.normal(0, 0.2, (len(EVERYDAY) + 1, 1280)).astype(np.float32)
    shift = np.zeros(len(EVERYDAY) + 1, np.float32)
    shift[0] = bias
    return EverydayHead(weight, shift)


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return Backbone.random()


def picture() -> tuple[Image, Mask]:
    random = np.random.default_rng(1)
    mask = np.zeros((90, 120), bool)
    mask[20:60, 30:80] = True
    return random.integers(0, 256, (90, 120, 3), np.uint8), mask


def test_everyday_names_are_eighty_and_apart() -> None:
    assert len(EVERYDAY) == 80
    assert len({names[0] for names in EVERYDAY}) == 80


def test_rows_are_probabilities_over_all_names(backbone: Backbone) -> None:
    recogniser = Recogniser(backbone, head())
    image, mask = picture()
    rows = recogniser.classify([image, image], [None, mask])
    assert rows.shape == (2, 1080)
    assert len(recogniser.class_names) == len(recogniser.class_synonyms) == 1080
    assert recogniser.class_weights.shape == (1080, 1280)
    assert (rows >= 0).all() and (rows.sum(axis=1) <= 1.0001).all()


def test_a_mask_is_seen_in_both_views(backbone: Backbone) -> None:
    from stream.crops import region_views

    recogniser = Recogniser(backbone, head())
    image, mask = picture()
    views = region_views(image, mask)
    apart = recogniser.classify(views, [None, None])
    assert np.allclose(recogniser.classify([image], [mask])[0], apart.mean(axis=0), atol=1e-4)


def test_background_silences_the_everyday_names(backbone: Backbone) -> None:
    image, _ = picture()
    quiet = Recogniser(backbone, head(bias=1e4)).classify([image], [None])[0]
    assert quiet[1000:].sum() < 1e-4
    assert quiet[:1000].sum() == pytest.approx(1.0, abs=1e-3)


def test_nothing_asked_nothing_answered(backbone: Backbone) -> None:
    assert Recogniser(backbone, head()).classify([], []).shape == (0, 1080)


def test_head_survives_the_disk_and_gives_probabilities(tmp_path: Path) -> None:
    save_head(head(seed=3), tmp_path / "head.safetensors")
    loaded = load_head(tmp_path / "head.safetensors")
    assert np.array_equal(loaded.weight, head(seed=3).weight)
    assert loaded.probabilities(torch.rand(4, 1280)).sum(axis=1) == pytest.approx(np.ones(4))


@pytest.mark.parametrize("content", [b"", b"not weights"])
def test_broken_weights_are_refused_with_what_to_do(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "head.safetensors"
    path.write_bytes(content)
    with pytest.raises(AssetError, match="foveal train everyday"):
        load_head(path)


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "head.safetensors"
    save_head(EverydayHead(np.zeros((3, 1280), np.float32), np.zeros(3, np.float32)), path)
    with pytest.raises(AssetError, match="81 rows"):
        load_head(path)
