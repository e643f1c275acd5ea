"""The policy never searches when it may not, and takes the best alternative."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasoning.generation.config import PolicyConfig, SearchMode
from reasoning.rules.intents import INTENTS, Intent
from reasoning.rules.policy import SEARCHING, Action, decide

ODDS = st.lists(st.floats(0, 1), min_size=len(INTENTS), max_size=len(INTENTS)).filter(any)
INTENT_SCORES = ODDS.map(
    lambda odds: {name: p / sum(odds) for name, p in zip(INTENTS, odds, strict=True)}
)
CONFIGS = st.builds(
    PolicyConfig,
    st.floats(0, 1),
    st.floats(0.01, 1),
    text=st.booleans(),
    image=st.booleans(),
    region=st.booleans(),
)
UNIT = st.floats(0, 1)


def sure_of(intent: Intent) -> dict[Intent, float]:
    return {name: 1.0 if name == intent else 0.0 for name in INTENTS}


@given(INTENT_SCORES, UNIT, st.booleans(), st.booleans(), CONFIGS)
def test_every_action_is_scored_and_the_best_is_taken(
    intents: dict[Intent, float], sight: float, subject: bool, may: bool, config: PolicyConfig
) -> None:
    choice = decide(intents, sight, subject, may, config)
    # Whether the memory is asked is decided before, by the words of the question alone.
    assert set(choice.scores) == set(get_args(Action)) - {"recall"}
    assert choice.scores[choice.action] == max(choice.scores.values())
    assert all(-1 <= score <= 1 + 1e-9 for score in choice.scores.values())


@given(INTENT_SCORES, UNIT, st.booleans(), CONFIGS)
def test_no_search_when_it_may_not(
    intents: dict[Intent, float], sight: float, subject: bool, config: PolicyConfig
) -> None:
    assert decide(intents, sight, subject, False, config).action not in SEARCHING


@given(INTENT_SCORES, UNIT, UNIT, st.booleans(), CONFIGS)
def test_surer_sight_never_makes_a_look_up_likelier(
    intents: dict[Intent, float], one: float, other: float, subject: bool, config: PolicyConfig
) -> None:
    low, high = sorted((one, other))
    less, more = (decide(intents, sight, subject, True, config) for sight in (low, high))
    assert more.scores["look_up_thing"] <= less.scores["look_up_thing"] + 1e-9
    assert more.scores["name"] >= less.scores["name"] - 1e-9


@pytest.mark.parametrize(
    ("intent", "sight", "subject", "action"),
    [
        ("identify", 0.9, True, "name"),
        ("identify", 0.45, True, "name"),
        ("identify", 0.1, True, "look_up_thing"),
        ("identify", 0.0, True, "look_up_thing"),
        ("describe", 0.0, False, "list"),
        ("locate", 0.9, False, "find"),
        ("read", 0.9, False, "read"),
        ("present", 0.9, False, "check"),
        ("count", 0.9, False, "count"),
        ("thing_fact", 0.9, True, "learn_thing"),
        ("thing_fact", 0.9, False, "ask_text"),
        ("fact", 0.9, False, "ask_text"),
        ("fact", 0.0, True, "ask_text"),
        ("personal", 0.9, True, "give_up"),
    ],
)
def test_actions_golden(intent: Intent, sight: float, subject: bool, action: Action) -> None:
    assert decide(sure_of(intent), sight, subject, True, PolicyConfig()).action == action


def test_a_dearer_search_gives_way_to_sight() -> None:
    intents = sure_of("identify")
    cheap, dear = PolicyConfig(search_cost=0.0), PolicyConfig(search_cost=0.9)
    assert decide(intents, 0.2, True, True, cheap).action == "look_up_thing"
    assert decide(intents, 0.2, True, True, dear).action == "name"


@pytest.mark.parametrize(
    ("mode", "action"), [("text", "ask_text"), ("image", "learn_thing"), ("region", "learn_thing")]
)
@pytest.mark.parametrize("intent", INTENTS)
def test_a_forced_search_leaves_no_choice(mode: SearchMode, action: Action, intent: Intent) -> None:
    config = PolicyConfig(search=mode)
    assert decide(sure_of(intent), 1.0, False, True, config).action == action
    assert decide(sure_of(intent), 1.0, True, False, config).action not in SEARCHING


@given(INTENT_SCORES, UNIT, st.booleans())
def test_a_modality_that_is_off_is_not_chosen(
    intents: dict[Intent, float], sight: float, subject: bool
) -> None:
    blind = PolicyConfig(image=False, region=False)
    assert decide(intents, sight, subject, True, blind).action != "look_up_thing"
    assert decide(intents, sight, subject, True, PolicyConfig(text=False)).action != "ask_text"
    mute = PolicyConfig(text=False, image=False, region=False)
    assert decide(intents, sight, subject, True, mute).action not in SEARCHING
