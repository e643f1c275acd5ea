"""The packages have plain names: guard that ours, and nobody else's, are the ones imported."""

from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("stream", "perception", "retrieval", "reasoning", "devices", "foveal")


@pytest.mark.parametrize("name", PACKAGES)
def test_package_is_ours(name: str) -> None:
    module = import_module(name)
    assert module.__file__ is not None
    assert Path(module.__file__).resolve().is_relative_to(ROOT)
    owners = set(packages_distributions().get(name, []))
    assert owners <= {"foveal"}, f"{name} is also installed by {owners - {'foveal'}}: uninstall it"
