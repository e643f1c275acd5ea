"""Names: the most probable first, and phrases that fit them by words or by meaning."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from perception.scene.name_matching import (
    HEAD_WEIGHT,
    RELATED_WEIGHT,
    WORD_WEIGHT,
    Name,
    NameMatcher,
)
from tests.doubles.retrieval import HashEncoder

SYNONYMS = (
    ("coffee mug",),
    ("Egyptian cat",),
    ("tabby", "tabby cat"),
    ("bus", "autobus"),
    ("glass",),
)


def test_the_most_probable_names_come_first() -> None:
    best = NameMatcher(SYNONYMS).best(np.array([0.1, 0.5, 0.2, 0.1, 0.1], np.float32))
    assert best[0] == Name("Egyptian cat", 0.5)
    assert [name.label for name in best] == ["Egyptian cat", "tabby", "coffee mug"]


@pytest.mark.parametrize(
    ("phrase", "weights"),
    [
        ("coffee mug", (HEAD_WEIGHT, 0, 0, 0, 0)),
        ("mug", (HEAD_WEIGHT, 0, 0, 0, 0)),
        ("Mugs", (HEAD_WEIGHT, 0, 0, 0, 0)),
        ("coffee", (WORD_WEIGHT, 0, 0, 0, 0)),
        ("my red mug", (HEAD_WEIGHT, 0, 0, 0, 0)),
        ("mug handle", (0, 0, 0, 0, 0)),
        ("cat", (0, HEAD_WEIGHT, HEAD_WEIGHT, 0, 0)),
        ("cats", (0, HEAD_WEIGHT, HEAD_WEIGHT, 0, 0)),
        ("bus", (0, 0, 0, HEAD_WEIGHT, 0)),
        ("glass", (0, 0, 0, 0, HEAD_WEIGHT)),
        ("piano", (0, 0, 0, 0, 0)),
        ("", (0, 0, 0, 0, 0)),
        ("?!", (0, 0, 0, 0, 0)),
    ],
)
def test_words_match_names(phrase: str, weights: tuple[float, ...]) -> None:
    assert NameMatcher(SYNONYMS).match(phrase).tolist() == pytest.approx(list(weights))


def unit_encoder(texts: list[str]) -> npt.NDArray[np.float32]:
    """A "kitten" is near cats, all else is near nothing."""
    rows = {"kitten": (0.0, 0.8, 0.6, 0.0, 0.0), "half": (0.625, 0, 0, 0, 0.78)}
    return np.array([rows.get(text, (0, 0, 0, 0, 0)) for text in texts], np.float32)


def test_meaning_matches_names_less_than_the_name_itself() -> None:
    matcher = NameMatcher(SYNONYMS, np.eye(5, dtype=np.float32), unit_encoder)
    kitten = matcher.match("kitten")
    assert kitten[1] == pytest.approx(RELATED_WEIGHT)  # a cosine of 0.8 is the same thing
    assert 0 < kitten[2] < RELATED_WEIGHT and kitten[0] == 0
    assert matcher.match("half")[0] == pytest.approx(RELATED_WEIGHT / 2, abs=0.01)
    assert matcher.match("mug")[0] == HEAD_WEIGHT


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=30), arrays(np.float32, 5, elements=st.floats(0, 1, width=32)))
def test_any_phrase_and_posterior(phrase: str, odds: npt.NDArray[np.float32]) -> None:
    posterior = odds / max(1.0, float(odds.sum()))
    encoder = HashEncoder(16)
    vectors = encoder.encode_text([names[0] for names in SYNONYMS])
    matcher = NameMatcher(SYNONYMS, vectors, encoder.encode_text)
    match = matcher.match(phrase)
    assert match.shape == (5,) and match.dtype == np.float32
    assert ((match >= 0) & (match <= 1)).all()
    names = matcher.best(posterior)
    assert [n.probability for n in names] == sorted((n.probability for n in names), reverse=True)
    assert names[0].probability == pytest.approx(float(posterior.max()))
