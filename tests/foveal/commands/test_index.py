"""`foveal index`: what its options mean."""

from typing import get_args

from foveal.commands.index import TIERS
from stream.events import Tier


def test_tiers_are_those_of_queries() -> None:
    assert get_args(Tier) == TIERS
