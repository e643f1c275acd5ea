"""Follow-ups that leave out what was said before: "And the ladder?", "Where did she study?"."""

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


_HE = re.compile(r"\b(?P<his>his|her(?=\s+[^\W\d_]))\b|\b(?:he|she|him|her)\b", re.IGNORECASE)
_PART = r"[A-Z][\w.'’-]*"
_PERSON = rf"(?P<name>{_PART}(?:\s+(?:(?:de|da|van|von|of|the|al|ibn|der)\s+)*{_PART})+)"
_BY_PERSON = re.compile(rf"\bby\s+(?:[\w'’-]+\s+){{0,6}}?{_PERSON}")
_OF_PERSON = re.compile(rf"^(?:(?:Yes|No):\s+)?(?!The\s|An?\s){_PERSON}(?=,|\s+(?:was|is|were|\())")
_CITED = re.compile(r"\s*\(Source: .*$")


def name_person(question: str, answer: str) -> str:
    """ "Where did she study?" with the name of whom the looked-up answer before told."""
    if _HE.search(question) is None or _CITED.search(answer) is None:
        return question
    told = _CITED.sub("", answer)
    found = _BY_PERSON.search(told) or _OF_PERSON.search(told)
    if found is None:
        return question
    name = found.group("name").rstrip(".,")
    return _HE.sub(lambda one: f"{name}'s" if one.group("his") else name, question)


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
