"""One wrong word is seen: features and verdicts of a claim beside its evidence."""

import numpy as np
import pytest

from reasoning.verification.claims import FEATURES, ClaimChecker
from stream.events import Evidence
from tests.doubles.retrieval import HashEncoder

TOLD = ("Tower. The tower was built in 1889 by Gustave Eiffel.", "Tower. It is not made of wood.")


def found(claim: str, known: str = "") -> dict[str, float]:
    checker = ClaimChecker(HashEncoder())
    return dict(zip(FEATURES, checker.features(claim, TOLD, known).tolist(), strict=True))


def test_what_is_told_misses_nothing() -> None:
    row = found("The tower was built in 1889 by Gustave Eiffel.")
    assert (row["numbers"], row["names"], row["words"], row["denial"]) == (0, 0, 0, 0)
    assert row["nearness"] == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize(
    ("claim", "wrong"),
    [
        ("The tower was built in 1989 by Gustave Eiffel.", "numbers"),
        ("The tower was built in 1889 by Gustave Courbet.", "names"),
        ("The tower was not built in 1889 by Gustave Eiffel.", "denial"),
        ("The tower was painted in 1889 by Gustave Eiffel.", "words"),
    ],
)
def test_the_wrong_word_is_seen(claim: str, wrong: str) -> None:
    assert found(claim)[wrong] > 0
    honest = ClaimChecker(HashEncoder())
    told = [Evidence("t", "Tower", " ".join(one[7:] for one in TOLD), 0.5, "w")]
    right = "The tower was built in 1889 by Gustave Eiffel."
    assert honest.probability(claim, told) < honest.probability(right, told)
    assert not honest.holds(claim, told)
    assert honest.holds(right, told)


def test_what_is_seen_counts_as_told() -> None:
    assert found("Anna built it in 1889.", "Anna and 3 others")["words"] == 0


def test_without_evidence_nothing_is_borne_out() -> None:
    checker = ClaimChecker(HashEncoder())
    assert checker.probability("It is a tower.", []) == 0.0
    assert not checker.holds("The tower is in Paris.", [])
    assert checker.holds("I see two towers.", [])
    assert np.isfinite(checker.probability("x", [Evidence("t", "T", "", 0.0, "w")]))
