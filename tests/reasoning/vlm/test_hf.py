"""A model whose last-layer states are read: sessions that share it do not disturb each other."""

from pathlib import Path

import numpy as np
import pytest
import torch

from reasoning.generation.config import VlmConfig
from reasoning.vlm.hf import ProcessorModel
from reasoning.vlm.hub_name import HubName
from reasoning.vlm.local.open import open_model
from tests.doubles.vlm_random import save


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl", "internvl"])
def test_answers_in_turns_are_as_answers_alone(family: str, tmp_path: Path) -> None:
    save(family, tmp_path)
    config = VlmConfig(device="cpu", dtype="float32", max_pixels=64 * 64)
    opened = open_model(HubName.parse(str(tmp_path)), config)
    language = ProcessorModel(opened.model, opened.processor)
    noise = np.random.default_rng(0)
    large, small = (
        noise.integers(0, 255, (*size, 3), np.uint8) for size in ((64, 64), (32, 48))
    )  # of different numbers of tokens: positions behind them differ
    asked = [{"role": "user", "content": "What is it?"}]
    ids = [70, 71, 72]
    alone = language.feed(language.begin(large, asked), ids)
    first = language.begin(large, asked)
    language.begin(small, asked)
    between = torch.cat([language.feed(first, [token]) for token in ids])
    assert torch.allclose(alone, between, atol=1e-5)
    assert alone.shape == (3, 32)
