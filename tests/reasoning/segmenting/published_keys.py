"""A small grounding encoder under the parameter names that Sa2VA publishes."""

import json
from pathlib import Path

import pytest
import torch

from perception.sam2 import convert

KEYS = "goldens/sa2va_grounding_encoder_keys.json"
LARGE = 144  # channels of the published backbone
SMALL = 16  # channels of the same backbone here


def published_encoder(
    data: Path, patch: pytest.MonkeyPatch, seed: int = 0
) -> dict[str, torch.Tensor]:
    """`sam2_model.…` -> random weights; all but the backbone's as wide as published."""
    patch.setitem(convert.BACKBONES, (SMALL, 48), convert.BACKBONES[(LARGE, 48)])
    shapes: dict[str, list[int]] = json.loads((data / KEYS).read_text(encoding="utf-8"))
    generator = torch.Generator().manual_seed(seed)
    return {key: _draw(key, _narrow(key, shape), generator) for key, shape in shapes.items()}


def _narrow(key: str, shape: list[int]) -> list[int]:
    if ".image_encoder." not in key:
        return shape
    return [side * SMALL // LARGE if side % LARGE == 0 else side for side in shape]


def _draw(key: str, shape: list[int], generator: torch.Generator) -> torch.Tensor:
    noise = torch.randn(shape, generator=generator)
    if len(shape) == 1:
        return 1 + 0.1 * noise if key.endswith("weight") else 0.1 * noise
    scale: float = max(1, noise[0].numel()) ** 0.5
    return noise / scale
