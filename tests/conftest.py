"""Shared fixtures: where optional data and embedded assets are."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from foveal.setup.assistant import Models

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
