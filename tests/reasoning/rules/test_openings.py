"""Offers: what is plausible is offered with how it would begin, the likeliest first."""

from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from reasoning.rules.openings import PLAUSIBLE, offer_of, openings
from reasoning.rules.policy import Action, Choice
from tests.doubles.perception import thing

ACTIONS: tuple[Action, ...] = get_args(Action)
SCORES = st.lists(st.floats(-1, 1), min_size=len(ACTIONS), max_size=len(ACTIONS))


class Turn:
    """What openings read of an answer."""

    def __init__(self) -> None:
        self.focus = thing((8, 16, 40, 56), "mug", 0.9)


@given(SCORES)
def test_the_best_action_is_first_and_rivals_are_near_it(values: list[float]) -> None:
    scores = dict(zip(ACTIONS, values, strict=True))
    best = max(scores, key=lambda action: scores[action])
    actions, offer = offer_of(Choice(best, scores), Turn(), "What is the mug for?", 0.5)  # type: ignore[arg-type]
    assert scores[actions[0]] == scores[best]
    assert all(scores[one] > PLAUSIBLE * scores[best] for one in actions[1:])
    if offer is None:
        assert actions == (best,)
    else:
        assert len(offer.drafts) == len(actions) > 1 and offer.best == 0


def test_every_action_has_an_opening() -> None:
    for action in ACTIONS:
        found = openings(action, Turn(), "Where is the red mug?")  # type: ignore[arg-type]
        assert found and all(text.strip() for text in found)
    assert "The red mug is" in openings("find", Turn(), "Where is the red mug?")  # type: ignore[arg-type]
