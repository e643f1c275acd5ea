"""What kind of answer a question wants, a person, a date, a length …, and which words are one."""

import re
from typing import Literal

AnswerType = Literal[
    "who", "when", "where", "duration", "length", "weight", "speed", "warmth", "number", "any"
]

_WHEN = re.compile(r"^\s*(?:when|in\s+(?:which|what)\s+(?:year|century)|what\s+year)\b", re.I)
_WHERE = re.compile(r"^\s*(?:where|in\s+(?:which|what)\s+(?:country|city|place)|which\s+country|"
                    r".*\bin\s+which\s+country)\b", re.I)  # fmt: skip
_WHO = re.compile(r"^\s*(?:who|whom|whose|by\s+whom)\b", re.I)
_NUMBER = re.compile(
    r"^\s*(?:how\s+(?:many|much|long|far|high|tall|old|fast|big|deep|heavy|large|wide)|"
    r"what\s+is\s+the\s+(?:number|height|length|weight|speed|capacity|population|age))\b",
    re.I,
)
_HOW_LONG_TIME = re.compile(
    r"^\s*how\s+(?:old\b|long\b.*\b(?:live|last|take|survive|exist|ago|been)\b)", re.I
)
_HOW_FAR = re.compile(
    r"^\s*(?:how\s+(?:far|high|tall|deep|wide|long)\b|what\s+is\s+the\s+(?:height|length)\b)", re.I
)
_MEASURED: tuple[tuple[AnswerType, re.Pattern[str], re.Pattern[str]], ...] = (
    (
        "weight",
        re.compile(r"^\s*(?:how\s+heavy\b|how\s+much\b.*\bweigh|what\b.*\bweight\b)", re.I),
        re.compile(r"\d\s*(?:kg|g|mg|t|lbs?|tonn?es?|tons?|pounds?|(?:kilo|milli)?grams?)\b", re.I),
    ),
    (
        "speed",
        re.compile(r"^\s*(?:how\s+fast\b|what\s+is\s+the\s+speed\b)", re.I),
        re.compile(r"\d\s*(?:km/?h|kph|mph|m\W?s|knots|\S+\s+(?:per|an?)\s+(?:hour|second))", re.I),
    ),
    (
        "warmth",
        re.compile(r"^\s*(?:how\s+(?:hot|cold|warm)\b|what\b.*\btemperature\b)", re.I),
        re.compile(r"\d\s*(?:°|K\b|C\b|F\b|degrees|kelvin)", re.I),
    ),
)
_TIME_SPAN = re.compile(r"\b(?:years?|months?|weeks?|days?|hours?|minutes?|seconds?)\b", re.I)
_LENGTH = re.compile(
    r"\d\s*(?:m|km|cm|mm|ft|mi|in)\b|\b(?:kilo|centi|milli)?met(?:re|er)s?\b|\bmiles?\b|"
    r"\b(?:feet|foot|inch(?:es)?)\b",
    re.I,
)
_DATE = re.compile(
    r"\b(?:1\d{3}|20\d\d)s?\b|\bcentur|\bBCE?\b|\bCE\b|\bAD\b|\bdecade|\bmillenni|\byears?\s+ago|"
    r"\bera\b|\bage\b|\bantiquity\b|\bprehistor",
    re.IGNORECASE,
)
_PLACE = re.compile(
    r"\b(?:in|from|at|to|on|off|across|throughout|near|into|between|(?:capital|city|island|country|coast|"
    r"part|region|state|province|department|north|south|east|west|cent(?:er|re)|border|peninsula)s?\s+of)"
    r"\s+(?:(?:the|what\s+is\s+now|modern-day|"
    r"northern|southern|eastern|western|central|ancient|medieval|present-day)\s+)*[A-Z]\w+"
)
_QUANTITY = re.compile(
    r"\d|\b(?:two|three|four|five|six|seven|eight|nine|ten|twelve|dozen|hundred|thousand|million|"
    r"billion)\b",
    re.IGNORECASE,
)
_PERSON = re.compile(
    r"\bby\s+[A-Z]\w+|\b[A-Z][\w'’.-]+\s+(?:(?:de|da|van|von|of|the|al|ibn)\s+)?[A-Z][\w'’-]+"
)


def answer_type(question: str) -> AnswerType:
    """What kind of words an answer needs."""
    if _WHEN.search(question):
        return "when"
    if _WHO.search(question):
        return "who"
    if _WHERE.search(question):
        return "where"
    if _HOW_LONG_TIME.search(question):
        return "duration"
    if _HOW_FAR.search(question):
        return "length"
    for kind, asked, _ in _MEASURED:
        if asked.search(question):
            return kind
    if _NUMBER.search(question):
        return "number"
    return "any"


def fits_type(sentence: str, kind: AnswerType) -> bool:
    """Whether a sentence holds words of the wanted kind."""
    patterns = {
        "when": _DATE,
        "where": _PLACE,
        "duration": _TIME_SPAN,
        "length": _LENGTH,
        "number": _QUANTITY,
        "who": _PERSON,
        **{measured: said for measured, _, said in _MEASURED},
    }
    return kind == "any" or patterns[kind].search(sentence) is not None
