"""Image and region queries by another encoder than ConSE."""

import numpy as np
import pytest

from retrieval.encoders.conse import ConseEncoder
from retrieval.joint_search import JointSearcher
from retrieval.sources.entries import Entry, Knowledge
from retrieval.store.knowledge import build_store
from stream.events import Query
from stream.geometry import encode_mask
from tests.doubles.retrieval import ColourClassifier, HashEncoder

COLOURS = {"red ball": (255, 0, 0), "green leaf": (0, 255, 0), "blue sky": (0, 0, 255)}


@pytest.fixture
def searcher() -> JointSearcher:
    entries = tuple(
        Entry(f"n:{name}", name, "", (f"The {name} is round.", f"A {name} costs nothing."))
        for name in COLOURS
    )
    encoder = HashEncoder()
    joint = ConseEncoder(HashEncoder(256), ColourClassifier(COLOURS))  # a space of its own
    return JointSearcher(build_store(Knowledge("n", entries), encoder), encoder, joint)


def test_pictures_and_regions_find_entries(searcher: JointSearcher) -> None:
    image = np.zeros((20, 30, 3), np.uint8)
    image[:10, :, 0] = image[10:, :, 2] = 255
    plain = np.full((8, 8, 3), (0, 255, 0), np.uint8)
    (found,) = searcher.search(Query("image", "<image>", 1, plain))
    assert (found.title, found.region) == ("green leaf", None) and found.score > 0.5
    mask = encode_mask(image[..., 2] > 0)
    best, *_ = searcher.search(Query("region", "<region>", 3, image, mask, about="what it costs"))
    assert (best.title, best.region) == ("blue sky", (0, 10, 30, 20))
    assert "costs nothing" in best.text
    assert searcher.search(Query("text", "green leaf", 1))[0].title == "green leaf"
