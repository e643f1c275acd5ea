"""The parameter names of Sa2VA's published code load, every one of them, and nothing is left."""

from pathlib import Path

import numpy as np
import pytest
import torch

from perception.sam2.convert import convert, rename
from reasoning.segmenting.checkpoint import part
from reasoning.segmenting.sa2va import GROUNDING
from reasoning.segmenting.sam2_masks import Sam2WordMasks
from stream.errors import AssetError
from tests.reasoning.segmenting.published_keys import published_encoder
from tests.reasoning.segmenting.tiny_models import WORDS, picture


def test_the_published_grounding_encoder_loads(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = published_encoder(shared_data, monkeypatch)
    assert sum(key.endswith("g_weight") for key in weights) == 2
    stored = {f"grounding_encoder.{key}": value for key, value in weights.items()}
    model = convert(part(stored, GROUNDING), 128)
    loaded = model.state_dict()
    for key, value in rename(part(stored, GROUNDING)).items():
        assert torch.equal(loaded[key], value), key
    fuser = model.memory_encoder.memory_fuser.layers[1]
    assert torch.equal(fuser.scale, weights["sam2_model.memory_encoder.fuser.layers.1.g_weight"])
    masks = Sam2WordMasks(model)
    words = torch.randn(1, WORDS, generator=torch.Generator().manual_seed(0))
    mask = masks.mask(masks.features(picture()), words, (48, 64))
    assert mask.shape == (48, 64) and mask.dtype == np.bool_


def test_a_key_that_is_not_published_is_named(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = published_encoder(shared_data, monkeypatch)
    inner = {key.removeprefix("sam2_model."): value for key, value in weights.items()}
    scale = inner.pop("memory_encoder.fuser.layers.0.g_weight")
    with pytest.raises(AssetError, match=r"memory_fuser\.layers\.0\.scale"):
        convert(inner, 128)
    inner["memory_encoder.fuser.layers.0.h_weight"] = scale
    with pytest.raises(AssetError, match="h_weight"):
        convert(inner, 128)
