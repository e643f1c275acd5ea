"""What the memory tells, in sentences: "I saw you open the fridge three times, last at 14:02."

Pure functions of what `retrieval/memory` found; the caller says times, for he knows the wearer's
clock and zone (foveal/session/memory/recalling.py).
"""

import re
from collections.abc import Callable
from typing import Literal

from num2words import num2words

from retrieval.memory.counting import CountQuestion, Episode, Tally
from retrieval.memory.places import Whereabouts
from retrieval.memory.words.lexicon import verb_lemma

Says = Callable[[str, int], str]  # session and ns on its line -> "at 14:02"

SEEING = ("see", "notice", "spot")  # what the wearer saw, we saw
SPELLED = 12  # larger numbers are written in digits
_YOURS = {"i": "you", "me": "you", "my": "your", "mine": "yours", "myself": "yourself"}


def count_sentence(tally: Tally, says: Says) -> str:
    """How often it was done; where acts are not recorded, how often the thing was seen."""
    done, thing = _act_words(tally.question)
    if tally.episodes:
        last = tally.episodes[-1]
        how = "" if tally.count == 1 else "last "
        seen = thing if tally.question.act.verb in SEEING else f"you {done}"
        return f"I saw {seen} {_times(tally.count)}, {how}{_at(last, says)}."
    if tally.recorded:
        return f"I did not see you {done}."
    return _seen_sentence(tally, thing, says)


def when_sentence(tally: Tally, says: Says) -> str:
    """When it was done first or last, as the question asks."""
    done, thing = _act_words(tally.question)
    episode = tally.first if tally.question.asked == "first" else tally.last
    if episode is not None:
        which = "first" if tally.question.asked == "first" else "last"
        seen = thing if tally.question.act.verb in SEEING else f"you {done}"
        return f"I {which} saw {seen} {_at(episode, says)}."
    if tally.recorded:
        return f"I did not see you {done}."
    return _seen_sentence(tally, thing, says)


def where_sentence(
    name: str, found: Whereabouts | None, says: Says, which: Literal["first", "last"] = "last"
) -> str:
    """Where a thing was last, or first, from what is known best."""
    thing = _yours(name)
    if found is None:
        return f"I have not seen {thing}."
    seen = found.sight is not None
    span = found.event if found.sight is None else found.sight
    at = span.end_ns if which == "last" else span.start_ns
    parts = [found.told] if found.told else [f"by the {name}" for name in found.around[:1]]
    if found.beside:
        parts.append(f"next to the {' and the '.join(found.beside)}")
    if found.room and not any(found.room in part for part in parts):
        parts.append(f"around the {found.room}")
    where = "".join(f", {part}" for part in parts) or ", but I don't know what was around it"
    return (
        f"I {which} {'saw' if seen else 'heard of'} {thing} {says(found.event.session, at)}{where}."
    )


def _seen_sentence(tally: Tally, thing: str, says: Says) -> str:
    """Sights are no acts: a fridge in view was perhaps not opened."""
    if not tally.seen:
        return "I keep no record of what you do, and did not see that."
    count = tally.count if tally.episodes else len(tally.seen)
    moments = f"{_number(count)} separate moment{'s' if count != 1 else ''}"
    last = f"{'last ' if count != 1 else ''}{_at(tally.seen[-1], says)}"
    return f"I saw {thing or 'that'} in {moments}, {last}; what you do with it I do not record."


def _act_words(question: CountQuestion) -> tuple[str, str]:
    """ "opened my window" -> "open your window", "your window"."""
    first, *rest = question.said.split()
    verb, _, particle = question.act.verb.partition(" ")
    thing = [word for word in rest if word != particle]
    first = verb if verb_lemma(first) == verb else first
    return _yours(" ".join([first, *rest])), _yours(" ".join(thing))


def _yours(words: str) -> str:
    return re.sub(r"\w+", lambda word: _YOURS.get(word[0].lower(), word[0]), words)


def _at(episode: Episode, says: Says) -> str:
    return says(episode.session, episode.start_ns)


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{_number(count)} times")


def _number(count: int) -> str:
    return str(num2words(count)) if count <= SPELLED else str(count)
