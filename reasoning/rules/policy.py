"""Search or not, and with which query: the alternatives are scored, the best one is taken.

What the question asks for comes as probabilities (intents.py), what is in view as the
probability of the best name. Searching costs a little, so that sight wins where it is as sure
(retrieve only when unsure: CBDR, arXiv 2509.06472).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from reasoning.generation.config import PolicyConfig
from reasoning.rules.intents import Intent

Action = Literal[
    "name", "list", "find", "read", "check", "count", "look", "state", "talk", "look_up_thing",
    "learn_thing", "ask_text", "give_up", "recall",
]  # fmt: skip
SEARCHING: tuple[Action, ...] = ("look_up_thing", "learn_thing", "ask_text")


@dataclass(frozen=True, slots=True)
class Decision:
    """The action that is taken and every alternative's score."""

    action: Action
    scores: Mapping[Action, float]


def decide(
    intents: Mapping[Intent, float],
    sight: float,
    has_subject: bool,
    may_search: bool,
    config: PolicyConfig,
) -> Decision:
    """Score every alternative; `sight` is the probability of the focus' best name (0 without)."""
    if may_search and config.search != "model":
        action: Action = "ask_text" if config.search == "text" else "learn_thing"
        return Decision(action, {action: 1.0})
    sure = min(1.0, sight / config.sight_gate)
    fact_of_thing = intents["thing_fact"]
    scores: dict[Action, float] = {
        "name": intents["identify"] * sure,
        "list": intents["describe"],
        "find": intents["locate"],
        "read": intents["read"],
        "check": intents["present"],
        "count": intents["count"],
        "look": intents["look"],
        "state": intents["state"],
        "talk": intents["talk"],
        "look_up_thing": intents["identify"] * (1 - sure) - config.search_cost,
        "learn_thing": (fact_of_thing if has_subject else 0.0) - config.search_cost,
        "ask_text": (intents["fact"] + (0.0 if has_subject else fact_of_thing))
        - config.search_cost,
        "give_up": intents["personal"],
    }
    possible = {"ask_text": config.text, "look_up_thing": config.visual}
    for searching in SEARCHING:
        if not (may_search and possible.get(searching, config.text or config.visual)):
            scores[searching] = -1.0
    best = max(scores, key=lambda action: scores[action])
    return Decision(best, scores)
