"""Canaries refuse an encoder that is not the one of the index."""

import json
import random
from collections.abc import Sequence

import numpy as np
import pytest

from retrieval.encoders.canary import TEXTS, canary_pictures, check, record
from retrieval.encoders.conse import ConseEncoder
from retrieval.encoders.text import Progress, Vectors, unit_rows
from stream.errors import AssetError
from tests.doubles.retrieval import ColourClassifier, HashEncoder

COLOURS = {"red ball": (255, 0, 0), "green leaf": (0, 255, 0), "blue sky": (0, 0, 255)}


class Edited(HashEncoder):
    """Says something else of a few texts, under the name of the true one."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self._share = share

    def encode_text(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        """A direction of its own, mixed into every vector."""
        true = super().encode_text(texts, progress)
        return unit_rows(true + self._share * super().encode_text(["bait"]))


def test_the_same_encoder_passes_every_draw() -> None:
    kept = json.loads(json.dumps(record(HashEncoder())))
    for seed in range(5):
        check(HashEncoder(), kept, random.Random(seed))
    check(HashEncoder(), kept)


@pytest.mark.parametrize("share", [0.1, 5.0])
def test_an_edited_one_is_refused_whatever_is_drawn(share: float) -> None:
    kept = record(HashEncoder())
    for seed in range(5):
        with pytest.raises(AssetError, match=r"canary text \d+ .* build a new index"):
            check(Edited(share), kept, random.Random(seed))


def test_one_that_sees_otherwise_is_refused() -> None:
    kept = record(ConseEncoder(HashEncoder(), ColourClassifier(COLOURS)))
    check(ConseEncoder(HashEncoder(), ColourClassifier(COLOURS)), kept)
    swapped = dict(zip(COLOURS, reversed(COLOURS.values()), strict=True))
    with pytest.raises(AssetError, match="canary picture"):
        check(ConseEncoder(HashEncoder(), ColourClassifier(swapped)), kept)


def test_another_name_and_damage_are_refused() -> None:
    kept = record(HashEncoder())
    with pytest.raises(AssetError, match="expected the encoder hash-128"):
        check(HashEncoder(64), kept)
    for broken in ("", "?", kept["texts"][:-8], None):
        with pytest.raises(AssetError, match="20 vectors of 128"):
            check(HashEncoder(), {**kept, "texts": broken})
    nothing = record(HashEncoder())
    zeros = {**nothing, "texts": "AAAA" * (len(kept["texts"]) // 4 - 1) + "AAA="}
    with pytest.raises(AssetError, match="canary text"):
        check(HashEncoder(), zeros)


def test_pictures_are_many_and_fixed() -> None:
    pictures = canary_pictures()
    assert len(pictures) == len(TEXTS) == len({picture.tobytes() for picture in pictures}) == 20
    np.testing.assert_array_equal(pictures[3], canary_pictures()[3])
