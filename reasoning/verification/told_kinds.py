"""What kind of words answers a question on notes, and whether a line of a note holds them.

Notes are written shorter than articles: "Anna's", "Mondays 19:45", "120 dollars a day". The kinds
of `answer_types` are for sentences of an encyclopedia; these are for lists and tables.
"""

import re

from reasoning.verification.predicates import FACTS, FAMILIES, asks_fact
from retrieval.sources.sentences import search_words


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE)


_DAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)days?"
_MONTH = (
    r"january|february|march|april|may|june|july|august|september|october|november|december|easter|"
    r"christmas|spring|summer|autumn|winter"
)
_NUMBER_WORD = (
    r"one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|forty|"
    r"fifty|sixty|ninety|hundred|thousand|half|dozen|couple"
)
_SPAN = r"(?:second|minute|hour|day|week|month|year)s?"
# What is asked, and what words of an answer look like; the first that is asked for counts.
KINDS: tuple[tuple[str, re.Pattern[str], re.Pattern[str]], ...] = (
    (
        "money",
        _words(
            r"costs?|pay|paid|pric(?:e|ey)|charged?|expensive|worth|fee|how\s+much\s+(?:is|was|were|are)"
        ),
        re.compile(
            r"[€$£]|\b(?:euros?|dollars?|pounds|cents?|francs?|usd|eur|free|for\s+nothing)\b", re.I
        ),
    ),
    (
        "often",
        _words(r"how\s+often|how\s+many\s+times"),
        _words(r"every|each|once|twice|daily|weekly|monthly|yearly|times|never|always"),
    ),
    (
        "age",
        _words(r"how\s+old|what\s+age"),
        re.compile(
            rf"\b(?:years?|months?)\b|\bborn\b|\bsince\s+\d|\b(?:{_NUMBER_WORD}|\d+)\s+old", re.I
        ),
    ),
    (
        "when",
        _words(
            r"^(?:and\s+|so\s+|since\s+|until\s+|by\s+)?when|what\s+time|(?:what|which)\s+(?:day|date|week|month|year|weekday)|birthday"
        ),
        re.compile(
            rf"\b(?:{_DAY}|{_MONTH}|today|tomorrow|noon|midnight|morning|evening|night|o['’]clock|"
            rf"first|daily|weekly)\b|\d{{1,2}}[:.]\d\d|\b(?:19|20)\d\d\b|\bthe\s+\d+(?:st|nd|rd|th)\b|"
            r"\bhalf\s+past\b|\bquarter\s+(?:past|to)\b|\d\s*[ap]\.?m\b|\bdays\b",
            re.I,
        ),
    ),
    (
        "span",
        _words(r"how\s+long"),
        re.compile(rf"\b{_SPAN}\b|\d\s*(?:h|min|s)\b|\blong\b|\buntil\b", re.I),
    ),
    (
        "warmth",
        _words(r"how\s+(?:hot|cold|warm)|temperature"),
        re.compile(r"\d\s*(?:°|degrees?|[CFK]\b)|\bboil|\d", re.I),
    ),
    (
        "weight",
        _words(r"how\s+heavy|weighs?|weight"),
        _words(r"\d[\d.,]*\s*(?:k?g|mg|lbs?|tons?|t)|kilos?|pounds|grams?"),
    ),
    (
        "distance",
        _words(r"how\s+far|distance"),
        re.compile(
            r"\d\s*(?:m|km|miles?)\b|\b(?:metres?|meters?|kilomet(?:re|er)s?|miles?|minutes?)\b",
            re.I,
        ),
    ),
    (
        "colour",
        _words(r"colou?rs?"),
        _words(
            r"red|orange|yellow|green|blue|purple|violet|pink|brown|beige|white|black|gr[ae]y|golden|"
            r"silver|turquoise"
        ),
    ),
    (
        "telephone",
        _words(r"(?:tele)?phone|mobile\s+number"),
        re.compile(r"\+?\d[\d /-]{4,}\d"),
    ),
    (
        "number",
        _words(
            r"how\s+(?:many|much|high|tall|wide|deep|large|big|fast|strong|thick)|number|size|"
            r"how\s+loud|extension|pin|code"
        ),
        re.compile(rf"\d|\b(?:{_NUMBER_WORD})\b", re.I),
    ),
    (
        "where",
        _words(r"where|(?:in|on|at|from)\s+(?:which|what)\s+\w+"),
        re.compile(
            r"\b(?:(?:in|on|at|by)(?!\s+(?:\d|"
            + _MONTH
            + "|"
            + _DAY
            + r"))|behind|under|above|below|beside|near|inside|between|next\s+to|from|over|"
            r"left|right|row|shelf|box|drawer|cupboard|rack|floor|room|level|where)\b|"
            r"\w(?:stra(?:ss|ß)e|street|gasse|weg|platz)\b",
            re.I,
        ),
    ),
)
_WHO = re.compile(r"^\s*(?:(?:and|so|with|from|to|for|by)\s+)?(?:who|whom|whose)\b", re.IGNORECASE)
_NAME = re.compile(
    r"(?<![\w.])[A-ZÄÖÜ][\w'’-]+|\bmine\b|\b(?:my|our|his|her|their)\s+\w+", re.UNICODE
)


def _either(asked: re.Pattern[str], said: re.Pattern[str], passage: str) -> bool:
    """Whether a passage holds a word that tells, or the word that is asked with ("writes")."""
    return said.search(passage) is not None or asked.search(passage) is not None


def told_kind(question: str) -> str:
    """The kind of words that answers a question; "any" where none is known."""
    if _WHO.search(question):
        return "who"
    return next((kind for kind, asked, _ in KINDS if asked.search(question)), "any")


def tells_kind(question: str, passage: str, title: str = "") -> bool | None:
    """Whether a passage holds words of the kind that is asked for; None where any will do."""
    kind = told_kind(question)
    # Of when and where a note gives the time or the place alone, without the act.
    families = FAMILIES if kind == "who" else FACTS
    if any(
        asked.search(question) and not _either(asked, said, passage) for asked, said in families
    ):
        return False
    if kind == "any":
        return True if asks_fact(question) else None
    if kind == "who":
        known = {*search_words(question), *search_words(title)}
        return any(set(search_words(name)) - known for name in _NAME.findall(passage))
    said = next(said for name, _, said in KINDS if name == kind)
    return said.search(passage) is not None
