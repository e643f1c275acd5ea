"""How an answer would begin for each action: what a model that weighs them reads.

Only the first words: a whole answer would have to be made first, and looking costs most.
"""

import math
from collections.abc import Sequence

from reasoning.generation.tokens import SEARCH
from reasoning.rules.parsing import named_thing, pointed_noun
from reasoning.rules.pieces import DONT_KNOW, LIKELY, Draft, Offer, TurnState
from reasoning.rules.policy import Action, Choice
from reasoning.rules.small_talk import reply

PLAUSIBLE = 0.2  # share of the best action's score from which another one is offered


def offer_of(
    choice: Choice, turn: TurnState, question: str, trust: float
) -> tuple[tuple[Action, ...], Offer | None]:
    """The actions that may be meant, best first, and the offer of them where there are several."""
    scores = choice.scores
    ranked = sorted(scores, key=lambda action: -scores[action])
    actions = tuple(
        action for action in ranked if scores[action] > PLAUSIBLE * max(scores[choice.action], 0.0)
    )
    if len(actions) < 2:
        return (choice.action,), None
    drafts = [
        Draft(tuple(openings(action, turn, question)), math.log(scores[action]))
        for action in actions
    ]
    return actions, Offer(tuple(drafts), trust)


def openings(action: Action, turn: TurnState, question: str) -> Sequence[str]:
    """The forms in which an action's script begins."""
    focus, noun = turn.focus, pointed_noun(question) or "thing"
    name = focus.names[0].label if focus is not None and focus.score >= LIKELY else noun
    match action:
        case "name":
            return "This is", "This looks like"
        case "list":
            return ("I see",)
        case "find":
            return (f"The {named_thing(question) or noun} is",)
        case "read":
            return "It says", "I can't make out any words"
        case "check":
            return "Yes, I see", "No, I don't"
        case "count":
            return ("I count",)
        case "look":
            return (f"The {named_thing(question) or name} looks",)
        case "state":
            return (f"{DONT_KNOW}: I",)
        case "talk":
            return (reply(question),)
        case "look_up_thing":
            return (f"The {noun}{SEARCH}", f"The {noun} on", f"The {noun} in")
        case "learn_thing":
            return (f"The {name}{SEARCH}",)
        case "ask_text":
            return (SEARCH,)
        case "give_up":
            return (f"{DONT_KNOW}: neither",)
