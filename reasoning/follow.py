"""Follow-ups that leave out what was asked before: "And the spoon?", "What about Spain?"."""

import re
from collections.abc import Iterable

_AND = re.compile(
    r"^\s*(?:and(?:\s+(?:what|how)\s+about)?|(?:what|how)\s+about)\s*,?\s+(?P<rest>.+?)[\s?.!]*$",
    re.IGNORECASE,
)
_ASKS = re.compile(
    r"^(?:what|where|who|whom|whose|when|why|how|which|is|are|was|were|do|does|did|can|could|will|"
    r"would|should|has|have|read|find|show|tell|count)\b",
    re.IGNORECASE,
)
_PREPOSITION = re.compile(
    r"^(?:of|in|for|on|at|from|to|with|by|near|under|behind)\b", re.IGNORECASE
)
_NOUN = r"(?!(?:is|are|was|were|do|does|did|has|have|can|in|on|at|of|made|there|here)\b)[^\W\d_]+"
_DETERMINED = re.compile(
    rf"\b(?:the|a|an|my|his|her|their|your|any|some)\s+{_NOUN}(?:\s+{_NOUN})?(?=[\s?.!]*$)|"
    rf"\b(?:the|a|an|my|his|her|their|your|any|some)\s+{_NOUN}",
    re.IGNORECASE,
)
_PRONOUN = re.compile(r"\b(?:this|that|these|those|it|he|she|they)\b(?:\s+one\b)?", re.IGNORECASE)
_COUNTED = re.compile(rf"(?<=\bhow many\s){_NOUN}", re.IGNORECASE)
_NAME = re.compile(r"(?<=\s)[A-Z][\w'’-]+(?:\s+(?:of\s+|the\s+)?[A-Z][\w'’-]+)*")


def expand(question: str, before: Iterable[str]) -> str:
    """The whole question that a short one stands for; `before` are earlier ones, oldest first."""
    whole = ""
    for earlier in (*before, question):
        whole = _after(earlier, whole)
    return whole


def _after(question: str, before: str) -> str:
    match = _AND.match(question)
    if match is None:
        return question
    rest = match.group("rest")
    if _ASKS.match(rest):
        return f"{rest[0].upper()}{rest[1:]}?"
    return _put(rest, before) if before else question


def _put(rest: str, before: str) -> str:
    """The earlier question with other words in the place of what it was about."""
    stem = before.rstrip(" ?.!")
    preposition = _PREPOSITION.match(rest)
    if preposition is not None:
        places = list(re.finditer(rf"\b{preposition.group()}\b", stem, re.IGNORECASE))
        return f"{stem[: places[-1].start()] if places else stem + ' '}{rest}?"
    for pattern in (_COUNTED, _DETERMINED, _NAME, _PRONOUN):
        found = list(pattern.finditer(stem))
        if found:
            last = found[-1]
            return f"{stem[: last.start()]}{rest}{stem[last.end() :]}?"
    return f"{stem} {rest}?"
