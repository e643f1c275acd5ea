"""Backbones shared by the perception tests."""

import pytest
import torch

from foveal.assets.registry import asset_path
from perception.features.backbone import Backbone
from stream.errors import AssetError


@pytest.fixture(scope="session")
def random_backbone() -> Backbone:
    """Untrained, for shapes and contracts."""
    torch.set_num_threads(1)
    return Backbone.random(0)


@pytest.fixture(scope="session")
def trained_backbone() -> Backbone:
    """The pinned weights; skips with the reason where they are absent."""
    torch.set_num_threads(1)
    try:
        path = asset_path("efficientnet-lite2", "efficientnet-lite2-9656183e.pth")
        return Backbone.load(path)
    except AssetError as error:
        pytest.skip(str(error))
