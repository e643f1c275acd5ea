"""ConSE as a joint encoder, and what every joint encoder refuses."""

import numpy as np
import pytest

from perception.features.backbone import Backbone
from perception.scene.recogniser import Recogniser, load_head
from retrieval.encoders.conse import ConseEncoder
from retrieval.encoders.joint import JointEncoder
from stream.errors import QueryError
from stream.frame import Image, Mask
from tests.doubles.retrieval import ColourClassifier, HashEncoder

COLOURS = {"red ball": (255, 0, 0), "green leaf": (0, 255, 0), "blue sky": (0, 0, 255)}


@pytest.fixture
def encoder() -> JointEncoder:
    return ConseEncoder(HashEncoder(), ColourClassifier(COLOURS))


def two_colours() -> tuple[Image, Mask]:
    """Red above, blue below; the mask is what is blue."""
    image = np.zeros((20, 30, 3), np.uint8)
    image[:10, :, 0] = image[10:, :, 2] = 255
    return image, image[..., 2] > 0


def test_words_find_pictures_and_regions(encoder: JointEncoder) -> None:
    image, blue = two_colours()
    words = encoder.encode_text(list(COLOURS))
    found = encoder.encode_regions([image, image], [blue, ~blue])
    assert found.shape == (2, encoder.dim) and found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert (found @ words.T).argmax(axis=1).tolist() == [2, 0]
    plain = np.full((8, 8, 3), (0, 255, 0), np.uint8)
    assert (encoder.encode_images([plain]) @ words.T).argmax() == 1
    assert encoder.encode_images([]).shape == (0, encoder.dim)


def test_the_embedded_encoder_sees_the_region(trained_backbone: Backbone) -> None:
    recogniser = Recogniser(trained_backbone, load_head())
    real: JointEncoder = ConseEncoder(HashEncoder(), recogniser, recogniser.class_synonyms)
    image, blue = two_colours()
    first = real.encode_regions([image], [blue])
    np.testing.assert_array_equal(first, real.encode_regions([image], [blue]))
    assert not np.allclose(first, real.encode_images([image]), atol=1e-3)


def test_what_is_no_picture_or_region_is_refused(encoder: JointEncoder) -> None:
    image, blue = two_colours()
    with pytest.raises(QueryError, match="as number 1"):
        encoder.encode_images([image, image[..., 0]])
    with pytest.raises(QueryError, match="empty mask as number 1"):
        encoder.encode_regions([image, image], [blue, np.zeros_like(blue)])
    with pytest.raises(QueryError, match="of the picture's size"):
        encoder.encode_regions([image], [blue[1:]])
    with pytest.raises(QueryError, match="bool mask"):
        encoder.encode_regions([image], [blue.astype(np.uint8)])
    with pytest.raises(QueryError, match="1 for 2"):
        encoder.encode_regions([image, image], [blue])
