"""Sentences, search words and short quotations of plain text."""

import re
import unicodedata

MAX_QUOTE_WORDS = 42  # about 60 tokens of English
MIN_SENTENCE_WORDS = 5  # shorter ones join the sentence before

_BREAK = re.compile(r"(?<=[.!?])[\"”’')\]]*\s+(?=[\"“‘'(\[]*[A-Z0-9À-ÞΑ-Ω])")
_ABBREVIATION = re.compile(
    r"(?:\b(?:[A-Z]|Mr|Mrs|Ms|Dr|St|Sr|Jr|Prof|Gen|Col|Capt|Lt|Sgt|Rev|Gov|Mt|Ft|No|Nos|Vol|Op|"
    r"c|ca|cf|e\.g|i\.e|vs|etc|approx|fl|lit|b|d|r|Inc|Ltd|Co|Corp|U\.S|U\.K|U\.N|a\.k\.a|"
    r"Ph\.D|B\.C|A\.D|a\.m|p\.m|sp|spp|var|subsp|figs?|pp?|eq)|\.[A-Z])\.[\"”’')\]]*\s*$"
)
_WORD = re.compile(r"[^\W_]+")
_STOP = frozenset(
    re.findall(
        r"\w+",
        "a about after all also an and any are as at be been between both but by can could "
        "did do does during each for from had has have he her his how i if in into is it its "
        "known made many may me more most much my no nor not of on one only or other our over "
        "she so some such than that the their them then there these they this those through "
        "to up used was we were what when where which while who whom whose why will with "
        "would you your ",
    )
)


def clean(text: str) -> str:
    """One line, single spaces, without control characters and emptied parentheses."""
    text = unicodedata.normalize("NFC", text)
    if not text.isprintable():  # else there are neither controls (C) nor separators (Z) but spaces
        text = "".join(" " if unicodedata.category(char)[0] in "CZ" else char for char in text)
    text = re.sub(r"\(\s*[,;:]*\s*\)", " ", text)
    text = re.sub(r"\(\s*[,;]\s*", "(", text)
    text = re.sub(r"\s+", " ", text)
    return re.sub(r"\s+([,.;:)])", r"\1", text).strip()


def sentences(text: str) -> list[str]:
    """Split English prose; abbreviations and initials do not end a sentence."""
    parts: list[str] = []
    start = 0
    for match in _BREAK.finditer(text):
        if _ABBREVIATION.search(text[start : match.end()]):
            continue
        parts.append(text[start : match.end()].strip())
        start = match.end()
    parts.append(text[start:].strip())
    merged: list[str] = []
    for part in filter(None, parts):
        if merged and len(part.split()) < MIN_SENTENCE_WORDS:
            merged[-1] = f"{merged[-1]} {part}"
        else:
            merged.append(part)
    return merged


def quote(text: str, limit: int = MAX_QUOTE_WORDS) -> str:
    """At most `limit` words, cut where a clause ends if one ends in the last half."""
    words = text.split()
    if len(words) <= limit:
        return text
    words = words[:limit]
    for end in range(limit - 1, limit // 2, -1):
        if words[end].endswith((",", ";", ":")):
            return " ".join(words[: end + 1]).rstrip(",;:") + " …"
    return " ".join(words) + " …"


def search_words(text: str) -> list[str]:
    """Lower-case words without accents, stop words and plural endings, in order."""
    folded = unicodedata.normalize("NFKD", text.lower().replace("’", "'"))
    plain = "".join(char for char in folded if not unicodedata.combining(char))
    plain = plain.replace("'s ", " ")
    return [singular(word) for word in _WORD.findall(plain) if word not in _STOP]


def singular(word: str) -> str:
    """Harman's s-stemmer (1991): plural endings only, so that entities stay apart."""
    if len(word) > 4 and word.endswith("ies") and not word.endswith(("eies", "aies")):
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("es") and word[:-2].endswith(("x", "ch", "sh", "ss")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("us", "ss", "is")):
        return word[:-1]
    return word
