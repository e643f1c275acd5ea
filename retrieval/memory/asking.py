"""What a question to a memory is about: its words without those of asking, and how it asks."""

import re
from collections.abc import Sequence

from retrieval.memory.recall import Recall, RecallHow
from retrieval.sources.sentences import search_words
from stream.events import Query

# How one asks, which says nothing of what is asked for.
_ASKING = frozenset(
    search_words(
        "see saw seen look looked leave left put find found lose lost remember recall show tell "
        "say said happen happened last first time times many often ago earlier before recently "
        "please just ever again keep kept place placed now memory moment know forget latest"
    )
)
_HOW: Sequence[tuple[RecallHow, re.Pattern[str]]] = (
    ("count", re.compile(r"\bhow (many times|often)\b", re.IGNORECASE)),
    ("first", re.compile(r"\bfirst\b", re.IGNORECASE)),
    ("list", re.compile(r"\b(list|every time|all the times)\b", re.IGNORECASE)),
    ("last", re.compile(r"\b(where|last|latest|most recent(ly)?|when)\b", re.IGNORECASE)),
)
_TOLD = re.compile(
    r"\b(?:sa(?:id|y)|t(?:old|ell)|talk(?:ed)?|mention(?:ed)?|hear|heard|read|ask(?:ed)?|answer(?:ed)?"
    r"|sign|written|wr[io]te)\b",
    re.IGNORECASE,
)
THEN = "; then "  # between the scenes of a sequence
_PLACE = re.compile(r"\b(?:in|on|at|from|with|near|by|beside|under|behind|next to|into|to)\b")


def asked_for(words: str) -> list[str]:
    """Search words of what is looked for, in order; none of "what happened then?"."""
    return [term for term in dict.fromkeys(search_words(words)) if term not in _ASKING]


def head_of(words: str) -> str:
    """The noun that the question is about, "cup" of "the blue cup on the table"; empty for none."""
    for part in _PLACE.split(words.lower()):
        terms = [term for term in search_words(part) if term not in _ASKING]
        if terms:
            return terms[-1]
    return (asked_for(words) or [""])[-1]


def asks_of_words(words: str) -> bool:
    """Whether what was said or read is asked for, and not what was seen."""
    return bool(_TOLD.search(words))


def how_asked(words: str, otherwise: RecallHow = "best") -> RecallHow:
    """ "where" and "when" ask for the last time, "how often" for a count, "first" for the first."""
    return next((how for how, pattern in _HOW if pattern.search(words)), otherwise)


_PAST = re.compile(
    r"\b(?:"
    r"(?:where|when|what|which|how) (?:did|have|had|has) (?:i|we|you)\b|"
    r"how (?:many times|often) (?:did|have|had)\b|"
    r"(?:where|when) (?:was|were) (?:i|we|my|the last time|the first time)\b|"
    r"when was the (?:last|first) time|"
    r"(?:have|did) you (?:ever )?(?:see|seen|notice|noticed|spot|spotted)\b|"
    r"(?:do|can) you (?:remember|recall) (?:where|when|what|how|seeing|my|the)\b|"
    r"what (?:was|were) .*\b(?:earlier|before|ago|yesterday|this morning|last time)\b|"
    r"what happened\b"
    r")",
    re.IGNORECASE,
)
_NOT_PAST = re.compile(
    r"\bhave (?:i|we|you) (?:got|to)\b|\bhow did you (?:know|do)\b|\bdid (?:i|we) just\b|"
    r"\bwhat did you (?:say|mean)\b",
    re.IGNORECASE,
)


def asks_of_past(words: str) -> bool:
    """Whether a question is about what the wearer has seen, said or done: "where did I leave".

    General English, from no benchmark's questions.
    """
    plain = " ".join(words.replace("’", "'").split())
    return _PAST.search(plain) is not None and _NOT_PAST.search(plain) is None


def recall_of(query: Query) -> Recall:
    """A search as a recall, by how it is asked; a picture alone asks where that was last."""
    told = query.kind == "text"
    words, *then = query.text.split(THEN) if told else ("",)
    return Recall(
        words,
        how=how_asked(query.text if told else query.about, "best" if told else "last"),
        from_ns=query.filter.after_ns,
        to_ns=query.filter.before_ns,
        image=query.image,
        mask=query.mask,
        then=tuple(one.strip() for one in then if one.strip()),
        k=query.k,
    )
