"""Times in a question become a span to look in; the words that are left say what to look for.

English, as people ask of their own day: "yesterday", "ten minutes ago", "after lunch", "before I
left", "between two and three". A span is a filter and never a score.
"""

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from stream.clock import NS_PER_S

Relation = Literal["before", "after"]

_NUMBERS = {
    word: number
    for number, words in enumerate(
        [
            "",
            "a an one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
        ]
    )
    for word in words.split()
} | {"fifteen": 15, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "half": 0.5}
_UNITS = {"second": 1, "minute": 60, "min": 60, "hour": 3600, "day": 86_400, "week": 604_800}
_PARTS = {  # of a day, in hours
    "morning": (5, 12),
    "noon": (11.5, 12.5),
    "lunchtime": (11.5, 14),
    "afternoon": (12, 18),
    "evening": (17, 24),
    "night": (20, 29),
}
_MEALS = {"breakfast": (7, 9), "lunch": (12, 13.5), "dinner": (18, 20), "supper": (18, 20)}
_DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
_MONTHS = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
]
_COUNT = rf"(?:(?:\d+(?:\.\d+)?|{'|'.join(_NUMBERS)}|couple of|few)(?: and a half| an?)?)"
_UNIT = rf"(?:{'|'.join(_UNITS)})s?"
_CLOCK = r"(?:\d{1,2}(?::\d{2})?\s*(?:[ap]\.?m\.?|o'clock)?|noon|midnight)"
_DATE = (
    r"\d{4}-\d{2}-\d{2}"
    rf"|\d{{1,2}}(?:st|nd|rd|th)?(?: of)? (?:{'|'.join(_MONTHS)})(?: \d{{4}})?"
    rf"|(?:{'|'.join(_MONTHS)}) \d{{1,2}}(?:st|nd|rd|th)?(?:,? \d{{4}})?\b(?!:)"
)
_AROUND_S = 600  # of "at three": ten minutes before and after
_AGO_SHARE = 0.25  # of "an hour ago": a quarter of it before and after


@dataclass(frozen=True, slots=True)
class When:
    """A question without its times, and the span they name."""

    words: str
    from_ns: int | None = None  # Unix time, inclusive
    to_ns: int | None = None  # exclusive
    relation: Relation | None = None  # to `landmark`: something else that is to be recalled first
    landmark: str = ""  # "I left" of "before I left"


@dataclass(slots=True)
class _Reading:
    """What is read so far: a day, a part of it, and limits that are sharper than both."""

    text: str
    now: datetime
    day: date | None = None
    low: datetime | None = None
    high: datetime | None = None

    def take(self, pattern: str) -> re.Match[str] | None:
        """Cut the first match out of the text."""
        match = re.search(rf"\b(?:{pattern})(?!\w)", self.text, re.IGNORECASE)
        if match:
            self.text = f"{self.text[: match.start()]} {self.text[match.end() :]}"
        return match

    def at(self, hours: float) -> datetime:
        """A time of the day that is spoken of, today's unless said; 25 is 1 in the next night."""
        start = datetime.combine(self.day or self.now.date(), time(), self.now.tzinfo)
        return start + timedelta(hours=hours)

    def within(self, low: datetime | None, high: datetime | None) -> None:
        """Make the span no wider than this."""
        if low is not None:
            self.low = low if self.low is None else max(self.low, low)
        if high is not None:
            self.high = high if self.high is None else min(self.high, high)


def when(text: str, now_ns: int, zone: str = "UTC") -> When:
    """Read the times out of a question that is asked at a Unix time by a wearer in a zone."""
    now = datetime.fromtimestamp(now_ns / NS_PER_S, ZoneInfo(zone))
    reading = _Reading(text, now)
    for step in (_ago, _past_span, _day, _between, _limits, _meals, _part, _about):
        step(reading)
    if reading.low is None and reading.high is None and reading.day is not None:
        reading.within(reading.at(0), reading.at(24))
    landmark = reading.take(r"(before|after|since|until) (i|we) (\w+(?: [\w']+){0,4})")
    relation: Relation | None = None
    if landmark:
        relation = "before" if landmark[1].lower() in ("before", "until") else "after"
    words = re.sub(r"\s+", " ", reading.text).strip(" ,;?!.")
    low, high = (
        None if at is None else round(at.timestamp()) * NS_PER_S
        for at in (reading.low, reading.high)
    )
    if low is not None and high is not None and high < low:
        low = high = None  # "after five" that is "before four": no span at all
    return When(words, low, high, relation, f"{landmark[2]} {landmark[3]}" if landmark else "")


def _number(text: str) -> float:
    words = text.lower().split()
    if words[0] in ("couple", "few"):
        return {"couple": 2.0, "few": 3.0}[words[0]]
    first = _NUMBERS.get(words[0])
    value = float(words[0]) if first is None else float(first)
    return value + 0.5 if words[-1] == "half" and len(words) > 1 else value


def _seconds(match: re.Match[str]) -> float:
    unit = match[2].lower().rstrip("s")
    return _number(re.sub(r"^an? (?=couple|few|half)", "", match[1].lower())) * _UNITS[unit]


def _ago(reading: _Reading) -> None:
    match = reading.take(rf"(?:about |around )?((?:a |an )?{_COUNT}) ({_UNIT}) ago")
    if not match:
        return
    seconds, unit = _seconds(match), match[2].lower().rstrip("s")
    then = reading.now - timedelta(seconds=seconds)
    if unit in ("day", "week"):
        reading.day = then.date()
        return
    around = timedelta(seconds=max(60.0, seconds * _AGO_SHARE))
    reading.within(then - around, then + around)


def _past_span(reading: _Reading) -> None:
    match = reading.take(
        rf"(?:in|during|over|within|for)? ?(?:the )?(?:last|past) ((?:{_COUNT} )?)({_UNIT})"
    )
    if match:
        unit = match[2].lower().rstrip("s")
        count = _number(match[1]) if match[1].strip() else 1.0
        if count and not (unit == "week" and not match[1].strip()):
            reading.within(reading.now - timedelta(seconds=count * _UNITS[unit]), None)
        else:
            monday = reading.now.date() - timedelta(days=reading.now.weekday() + 7)
            start = datetime.combine(monday, time(), reading.now.tzinfo)
            reading.within(start, start + timedelta(days=7))


def _day(reading: _Reading) -> None:
    today = reading.now.date()
    if reading.take("the day before yesterday"):
        reading.day = today - timedelta(days=2)
    elif reading.take("yesterday"):
        reading.day = today - timedelta(days=1)
    elif reading.take("last night"):
        reading.day = today - timedelta(days=1)
        reading.within(reading.at(18), reading.at(30))
    elif reading.take("tonight"):
        reading.within(reading.at(18), None)
    elif reading.take("(?:earlier )?today"):
        reading.day = today
    elif match := reading.take(rf"(?:on |last |this )?({'|'.join(_DAYS)})"):
        back = (today.weekday() - _DAYS.index(match[1].lower())) % 7
        reading.day = today - timedelta(days=back or 7)
    elif match := reading.take(rf"(?:on )?(?:the )?({_DATE})"):
        reading.day = _date(match[1].lower(), today)


def _date(text: str, today: date) -> date | None:
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        parts = [int(part) for part in text.split("-")]
    else:
        month = next(number for number, name in enumerate(_MONTHS, 1) if name in text)
        digits = [int(found) for found in re.findall(r"\d+", text)]
        day = next((found for found in digits if found < 1000), 1)
        year = next((found for found in digits if found >= 1000), today.year)
        if len(digits) == 1 and (month, day) > (today.month, today.day):
            year -= 1  # what was seen lies in the past
        parts = [year, month, day]
    try:
        return date(*parts)
    except ValueError:
        return None  # 31 February


def _hours(text: str, reading: _Reading) -> float:
    """Of a clock time: of two that fit, the later one that is not in the future."""
    text = text.lower().replace(".", "")
    if text in ("noon", "midnight"):
        return 12.0 if text == "noon" else 0.0
    match = re.match(r"(\d{1,2})(?::(\d{2}))?\s*([ap]m)?", text)
    assert match is not None  # _CLOCK has matched
    hours = int(match[1]) % 24 + int(match[2] or 0) / 60
    if match[3]:
        return hours % 12 + (12 if match[3] == "pm" else 0)
    later = hours + 12
    return later if 1 <= hours < 12 and reading.at(later) <= reading.now else hours


def _between(reading: _Reading) -> None:
    match = reading.take(rf"(?:between|from) ({_CLOCK}) (?:and|to|until|till) ({_CLOCK})")
    if match:
        half = re.search(r"[ap]\.?m", match[2], re.IGNORECASE)
        first = match[1]
        if half and not re.search(r"[ap]\.?m|noon|midnight", first, re.IGNORECASE):
            first = f"{first.strip()} {half[0]}"
        reading.within(reading.at(_hours(first, reading)), reading.at(_hours(match[2], reading)))


def _limits(reading: _Reading) -> None:
    pattern = rf"(before|until|till|after|since) ({_CLOCK})(?! \w+s? ago)"
    while match := reading.take(pattern):
        at = reading.at(_hours(match[2], reading))
        early = match[1].lower() in ("before", "until", "till")
        reading.within(None, at) if early else reading.within(at, None)
        if early:
            reading.within(reading.at(0), None)


def _meals(reading: _Reading) -> None:
    match = reading.take(rf"(before|after|since|during|at|over) (?:the )?({'|'.join(_MEALS)})")
    if not match:
        return
    start, end = (reading.at(hours) for hours in _MEALS[match[2].lower()])
    if match[1].lower() in ("after", "since"):
        reading.within(start + (end - start) / 2, reading.at(24))
    elif match[1].lower() == "before":
        reading.within(reading.at(0), start + (end - start) / 2)
    else:
        reading.within(start, end)


def _part(reading: _Reading) -> None:
    given = "(?:in the|during the|at|this|that)"
    match = reading.take(rf"(?:{given} )?(?:early |late )?({'|'.join(_PARTS)})")
    if match:
        reading.within(*(reading.at(hours) for hours in _PARTS[match[1].lower()]))


def _about(reading: _Reading) -> None:
    """ "At three" is a time, "about three" may count things."""
    exact = r"\d{1,2}:\d{2}\s*(?:[ap]\.?m\.?)?|\d{1,2}\s*(?:[ap]\.?m\.?|o'clock)|noon|midnight"
    match = reading.take(rf"at (?:about |around )?({_CLOCK})(?! \w+s? ago)")
    match = match or reading.take(rf"(?:around|about) ({exact})")
    if match:
        at, around = reading.at(_hours(match[1], reading)), timedelta(seconds=_AROUND_S)
        reading.within(at - around, at + around)
