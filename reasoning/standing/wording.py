"""What is said of standing questions: taken, refused, listed, stopped, and what was seen."""

from collections.abc import Sequence

from perception.scene.name_matching import words_of
from reasoning.rules.parsing import listed, with_article
from reasoning.standing.requests import WatchRequest

POINT = "point at it and say: tell me when you see this again"


def told_of(request: WatchRequest) -> str:
    """What is watched for: "a cup", "a cup and then a spoon", "leaving without an umbrella"."""
    if request.kind == "again":
        return "what you showed me"
    things = [with_article(thing) for thing in request.things]
    if request.kind == "leave":
        return f"leaving without {things[0]}"
    return " and then ".join(things)


def taken(request: WatchRequest, wider: Sequence[str]) -> str:
    """A standing question was taken; `wider`: names that it is watched by where they say less."""
    when = "every time" if request.repeats else "when"
    if request.kind == "leave":
        thing = with_article(request.things[0])
        said = f"I will tell you {when} you go somewhere else and I have not seen {thing} since."
    elif request.kind == "again":
        said = f"I will tell you {when} I see it again."
    else:
        said = f"I will tell you {when} I see {told_of(request)}."
    if wider:
        names = listed([with_article(name) for name in dict.fromkeys(wider)])
        said += f" I can only watch for {names}, whichever it is."
    return said


def unseen(thing: str, count: int) -> str:
    """Why a thing cannot be watched for."""
    if not count:
        return f"I cannot watch for {thing}: nothing here looks for things by itself. Or {POINT}."
    return (
        f"I cannot watch for {thing}: by myself I find {count} everyday things, and that is none "
        f"of them. If it is here, {POINT}."
    )


def full(limit: int) -> str:
    """Why no other is taken."""
    if not limit:
        return "Standing questions are off here."
    return f"I am watching for {limit} things already. Tell me to stop watching for one first."


def listing(requests: Sequence[WatchRequest]) -> str:
    """What is watched for."""
    if not requests:
        return "I am not watching for anything."
    return f"I am watching for {listed([told_of(one) for one in requests])}."


def stopped(requests: Sequence[WatchRequest], thing: str) -> str:
    """Which standing questions ended."""
    if requests:
        return f"I no longer watch for {listed([told_of(one) for one in requests])}."
    return f"I was not watching for {thing}." if thing else "I was not watching for anything."


def seen(request: WatchRequest, names: Sequence[str], place: str) -> str:
    """What is told when it has come; `place`: "on the left", or empty."""
    where = f", {place}" if place else ""
    if request.kind == "again":
        return f"I see it again{where}."
    things = [with_article(name) for name in names]
    if request.kind == "leave":
        return f"You have gone somewhere else, and I have not seen {things[0]} since."
    if request.kind == "sequence":
        return f"After {listed(things[:-1])}, now I see {things[-1]}{where}."
    return f"I see {things[0]}{where}."


def means(request: WatchRequest, thing: str) -> bool:
    """Whether words such as "the cup" mean this standing question."""
    words = _words(thing)
    if not words:
        return True
    if request.kind == "again":
        return bool(words & {"this", "that", "it", "showed"})
    return any(words & _words(one) for one in request.things)


def _words(text: str) -> set[str]:
    return set(words_of(text)) - {"the", "a", "an", "my", "and", "then"}
