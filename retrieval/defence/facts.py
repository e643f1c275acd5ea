"""What a sentence claims that can be compared word by word: numbers, names, and denials.

Two sentences that are alike in an encoder's space may still differ in the one word that matters:
a year, a name, a "not".
"""

import re
from dataclasses import dataclass

from retrieval.sources.sentences import search_words

_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty"
)
_WORDS = {word: str(number) for number, word in enumerate(_SMALL.split())} | {
    "thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "seventy": "70", "eighty": "80",
    "ninety": "90", "hundred": "100", "thousand": "1000", "million": "1000000",
    "billion": "1000000000", "dozen": "12", "first": "1", "second": "2", "third": "3",
}  # fmt: skip
_PRONOUN_LIKE = frozenset(("one", "second", "first"))  # "one of them": not always a number
_NUMBER = re.compile(r"(?<![\w.])\d[\d,.\u00a0\u202f]*\d|(?<![\w.])\d")
_SEPARATOR = re.compile(r"(?<=\d)[,\u00a0\u202f](?=\d{3})")
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_NAME = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_NEGATION = re.compile(
    r"\b(?:not|never|no|none|neither|nor|cannot|without|nobody|nothing|nowhere|hardly|rarely)\b|"
    r"n['’]t\b",
    re.IGNORECASE,
)
_BEGINNING = re.compile(r"(?:^|[.!?:;]\s+|[\"“(]\s*)$")
_COMMON = frozenset(
    re.findall(
        r"\w+",
        "i a an the this that these those it its he she they we you his her their our your in on "
        "at by of from to for with as and or but if when while since after before during most many "
        "some all both each every no not there here what who which where how why is are was were "
        "has have had do does did can could will would may might must should one two three also "
        "however although because so then than such other another more less few several yes unlike "
        "like today now later early according about over under between through per mr mrs ms dr",
    )
)


@dataclass(frozen=True, slots=True)
class Facts:
    """What can be compared."""

    numbers: frozenset[str]  # "1,000" and "thousand" are "1000"
    names: frozenset[str]  # lower-case words written with a capital inside the text
    denials: int  # words that deny


def facts(text: str) -> Facts:
    """The numbers, names and denials of a text."""
    return Facts(numbers(text), names(text), len(_NEGATION.findall(text)))


def numbers(text: str) -> frozenset[str]:
    """Numbers in digits, as digits."""
    found = {
        _SEPARATOR.sub("", match.group()).rstrip(".,").replace("\u00a0", "")
        for match in _NUMBER.finditer(text)
    }
    spelled = {word.lower() for word in _WORD.findall(text)} & set(_WORDS)
    return frozenset(found | {_WORDS[word] for word in spelled - _PRONOUN_LIKE})


def said_numbers(text: str) -> frozenset[str]:
    """Every number that a text may be read to hold, also "first" and "one"."""
    spelled = {word.lower() for word in _WORD.findall(text)} & set(_WORDS)
    return numbers(text) | {_WORDS[word] for word in spelled}


def names(text: str) -> frozenset[str]:
    """Capitalised words, as search words; of a sentence's first word only what is no common one."""
    found: set[str] = set()
    for match in _NAME.finditer(text):
        word = match.group()
        if not word[0].isupper() or word.lower() in _COMMON:
            continue
        begins = _BEGINNING.search(text[: match.start()]) is not None
        follows = re.match(r"\s+[A-Z]", text[match.end() :]) is not None
        if begins and not follows and not word.isupper():
            continue  # it may be any word
        found.update(search_words(word))
    return frozenset(found)
