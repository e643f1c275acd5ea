"""Which of the words in view a question asks for."""

import re
from collections.abc import Sequence

from perception.detect.ocr import TextLine
from reasoning.generation.tokens import neutralise

MAX_READ = 6  # lines
TALL = 0.7  # of the tallest line's height
NOTHING = "I can't make out any words in view."
_TITLE = re.compile(r"\b(?:title|heading|headline|name|called|about|topic|brand)\b", re.IGNORECASE)
_PLACE = re.compile(
    r"\b(?P<place>first|top|last|bottom|second|third)\s+(?:line|word|row)", re.IGNORECASE
)
_PLACES = {"first": 0, "top": 0, "second": 1, "third": 2, "last": -1, "bottom": -1}
_HOLDS = re.compile(
    r"^\s*(?:does|do|is|are|can)\b.*?\b(?:say|says|mention|read|contain|about|word|anything\s+about)\s+"
    r"(?:(?:anything|something|about|the|word|a|an)\s+)*[\"“']?(?P<word>[^\W_][\w-]*)[\"”']?[\s?.!]*$",
    re.IGNORECASE,
)
_LINES = re.compile(r"\bhow\s+many\s+(?:lines|rows)\b", re.IGNORECASE)
# What is asked for -> what a line with it looks like.
_FORMS = (
    ("phone number", r"\bphone|\bcall\b|\btelephone", r"\+?\d[\d\s()/-]{5,}\d"),
    ("price", r"\bprice|\bcost|\bhow\s+much",
     r"[$€£]\s*\d|\d\s*(?:[$€£]|USD|EUR)|\d+[.,]\d\d(?![.,\d])"),
    ("time", r"\btime\b|\bwhen\b|\bo'?clock|\bhours?\b",
     r"\b\d{1,2}[:.]\d\d(?![.\d])|\b\d{1,2}\s*(?:am|pm)\b"),
    ("date", r"\bdate\b|\bday\b|\byear\b",
     r"\b\d{1,4}[./-]\d{1,2}[./-]\d{1,4}\b|\b(?:1[89]|20)\d\d\b"),
    ("number", r"\bnumbers?\b", r"\d"),
)  # fmt: skip


def reading(question: str, lines: Sequence[TextLine]) -> str:
    """The answer from the lines in view, top to bottom; all of them where no part is asked for."""
    if not lines:
        return NOTHING
    if _LINES.search(question):
        count = len(lines)
        return f"I can make out {count} line{'' if count == 1 else 's'}."
    place = _PLACE.search(question)
    if place is not None and (number := _PLACES[place.group("place").lower()]) < len(lines):
        return f"The {place.group('place').lower()} line says: {_quoted([lines[number]])}."
    holds = _HOLDS.match(question)
    if holds is not None:
        return _whether(holds.group("word"), lines)
    for name, asked, form in _FORMS:
        if re.search(asked, question, re.IGNORECASE):
            found = [line for line in lines if re.search(form, line.text, re.IGNORECASE)]
            if found:
                return f"The {name} may be in this: {_quoted(found)}."
            return f"I see no {name} among the words. It says: {_quoted(lines)}."
    if _TITLE.search(question):
        heights = [line.box[3] - line.box[1] for line in lines]
        # A line that runs askew has a tall box: of the tall ones the topmost is the title.
        tall = [n for n, height in enumerate(heights) if height >= TALL * max(heights)]
        return f"The title seems to be {_quoted([lines[tall[0]]])}."
    return f"It says: {_quoted(lines)}."


def _whether(word: str, lines: Sequence[TextLine]) -> str:
    stem = word.lower().rstrip("s")
    found = [line for line in lines if stem in line.text.lower()]
    return f"Yes: {_quoted(found)}." if found else f"No, I don't read {neutralise(word)} there."


def _quoted(lines: Sequence[TextLine]) -> str:
    return f"“{neutralise(' '.join(line.text for line in lines[:MAX_READ]))}”"
