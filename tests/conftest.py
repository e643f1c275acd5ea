"""Shared fixtures: where optional data and embedded assets are."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from foveal.setup.assistant import Models
    from perception.device import Device
    from perception.features.backbone import Backbone

ROOT = Path(__file__).resolve().parent.parent

# How long an example takes says more about the machine than about the code. A gate must give the
# same verdict twice, so examples are drawn from the test's own text; `explore` draws new ones.
settings.register_profile("foveal", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "foveal"))


def data_root() -> Path:
    """The optional data folder."""
    return Path(os.environ.get("FOVEAL_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture
def shared_data() -> Path:
    """The optional data folder; skips with the reason where it is absent."""
    root = data_root()
    if not root.is_dir():
        pytest.skip(f"optional data folder {root} is absent (set FOVEAL_DATA)")
    return root


@pytest.fixture(scope="session")
def models() -> "Models":
    """Everything that answering needs, loaded once; skips with the reason where it is absent."""
    from foveal.setup.assistant import load_models
    from stream.errors import FovealError

    try:
        return load_models()
    except FovealError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def random_backbone() -> "Backbone":
    """Untrained, for shapes and contracts."""
    import torch

    from perception.features.backbone import Backbone

    torch.set_num_threads(1)
    return Backbone.random(0)


@pytest.fixture(scope="session")
def trained_backbone() -> "Backbone":
    """The pinned weights; skips with the reason where they are absent."""
    import torch

    from foveal.assets.registry import asset_path
    from perception.features.backbone import Backbone
    from stream.errors import AssetError

    torch.set_num_threads(1)
    try:
        path = asset_path("efficientnet-lite2", "efficientnet-lite2-9656183e.pth")
        return Backbone.load(path)
    except AssetError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def real_server(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[str]":
    """The URL of `transformers serve`, which takes seconds to start: one serves every test."""
    from tests.reasoning.vlm.transformers_server import transformers_server

    with transformers_server(tmp_path_factory.mktemp("server") / "serve.txt") as url:
        yield url


@pytest.fixture(params=["second", pytest.param("cuda", marks=pytest.mark.gpu)])
def other_device(request: pytest.FixtureRequest) -> "Iterator[Device]":
    """A processor beside the CPU, in float32: one that is always there, and CUDA where it is."""
    import torch

    from perception.device import Device
    from tests.doubles.second_device import second_device

    if request.param == "second":
        with second_device() as device:
            yield device
    elif torch.cuda.is_available():
        yield Device("cuda", torch.float32)
    else:
        pytest.skip("no CUDA device here")
