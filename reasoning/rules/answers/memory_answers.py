"""What the wearer has seen: a search of the memory, and what it tells in its own words."""

from collections.abc import Iterator

from reasoning.generation.tokens import neutralise
from reasoning.rules.script import DONT_KNOW, Say, ScriptPiece, ScriptState, SearchFor

NOT_SEEN = "I have not seen that, as far as I remember."


def recall(turn: ScriptState, question: str) -> Iterator[ScriptPiece]:
    """The moment that was asked for, with its time and place."""
    if not turn.may_search:
        yield Say(f"{DONT_KNOW}: I may not search what I remember now.")
        return
    yield SearchFor(question, memory=True)
    if not turn.evidence:
        yield Say(NOT_SEEN)
        return
    best = turn.evidence[0]
    turn.subject = best.title
    told = best.nearest[0] if best.nearest else f"I remember: {best.text}."
    yield Say(neutralise(told))
