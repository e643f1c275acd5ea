"""Times in a question become spans, and what is left is what is looked for."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.memory.when import when
from stream.clock import NS_PER_S

PARIS = ZoneInfo("Europe/Paris")
NOW = datetime(2025, 12, 3, 15, 30, tzinfo=PARIS)  # a Wednesday
NOW_NS = int(NOW.timestamp()) * NS_PER_S


def at(day: int, clock: str, month: int = 12) -> int:
    hour, minute = (int(part) for part in clock.split(":"))
    return int(datetime(2025, month, day, hour, minute, tzinfo=PARIS).timestamp()) * NS_PER_S


@pytest.mark.parametrize(
    ("text", "words", "low", "high"),
    [
        ("Where is the cup?", "Where is the cup", None, None),
        ("What did I read yesterday?", "What did I read", at(2, "0:00"), at(3, "0:00")),
        ("keys the day before yesterday", "keys", at(1, "0:00"), at(2, "0:00")),
        ("keys ten minutes ago", "keys", at(3, "15:17"), at(3, "15:22")),
        ("keys an hour ago", "keys", at(3, "14:15"), at(3, "14:45")),
        ("keys half an hour ago", "keys", at(3, "14:52"), at(3, "15:07")),
        ("keys a couple of hours ago", "keys", at(3, "13:00"), at(3, "14:00")),
        ("keys two days ago", "keys", at(1, "0:00"), at(2, "0:00")),
        ("what happened in the last 20 minutes", "what happened", at(3, "15:10"), None),
        ("signs in the past hour", "signs", at(3, "14:30"), None),
        ("keys last week", "keys", at(24, "0:00", 11), at(1, "0:00")),
        ("keys yesterday evening", "keys", at(2, "17:00"), at(3, "0:00")),
        ("keys this morning", "keys", at(3, "5:00"), at(3, "12:00")),
        ("keys last night", "keys", at(2, "18:00"), at(3, "6:00")),
        ("keys on Monday", "keys", at(1, "0:00"), at(2, "0:00")),
        ("keys on Thursday", "keys", at(27, "0:00", 11), at(28, "0:00", 11)),
        ("keys on 27 November", "keys", at(27, "0:00", 11), at(28, "0:00", 11)),
        ("keys on November 27th, 2025", "keys", at(27, "0:00", 11), at(28, "0:00", 11)),
        ("keys on 2025-11-27", "keys", at(27, "0:00", 11), at(28, "0:00", 11)),
        ("keys at three", "keys at three", None, None),
        ("keys at 3", "keys", at(3, "14:50"), at(3, "15:10")),
        ("keys at 11", "keys", at(3, "10:50"), at(3, "11:10")),
        ("keys at 14:02", "keys", at(3, "13:52"), at(3, "14:12")),
        ("keys at 9 p.m. yesterday", "keys", at(2, "20:50"), at(2, "21:10")),
        ("about 5 cups", "about 5 cups", None, None),
        ("keys between 2 and 3 pm", "keys", at(3, "14:00"), at(3, "15:00")),
        ("keys after 1 pm before 2:30 pm", "keys", at(3, "13:00"), at(3, "14:30")),
        ("keys after lunch", "keys", at(3, "12:45"), at(4, "0:00")),
        ("keys before breakfast yesterday", "keys", at(2, "0:00"), at(2, "8:00")),
        ("keys after 5 pm before 4 pm", "keys", None, None),
        ("keys on 31 February", "keys", None, None),
    ],
)
def test_times_are_read(text: str, words: str, low: int | None, high: int | None) -> None:
    found = when(text, NOW_NS, "Europe/Paris")
    tolerance = 60 * NS_PER_S  # ends of "ten minutes ago" are no whole minutes
    assert found.words == words
    for got, wanted in ((found.from_ns, low), (found.to_ns, high)):
        assert (got is None) == (wanted is None)
        assert got is None or wanted is None or abs(got - wanted) <= tolerance


def test_what_came_before_something_else_is_left_to_who_can_recall_that() -> None:
    found = when("Where was the cup before I left the kitchen?", NOW_NS)
    assert (found.relation, found.landmark) == ("before", "I left the kitchen")
    assert found.words == "Where was the cup"


def test_the_day_is_the_wearers_and_knows_summer_time() -> None:
    shift = datetime(2025, 10, 27, 9, 0, tzinfo=PARIS)  # the day after it ended
    found = when("yesterday", int(shift.timestamp()) * NS_PER_S, "Europe/Paris")
    assert found.from_ns is not None and found.to_ns is not None
    assert found.to_ns - found.from_ns == 25 * 3600 * NS_PER_S


WORDS = st.sampled_from(
    [
        "last",
        "past",
        "ago",
        "yesterday",
        "before",
        "after",
        "at",
        "between",
        "and",
        "3",
        "31",
        "14:02",
        "pm",
        "half",
        "a",
        "an",
        "hour",
        "days",
        "week",
        "on",
        "monday",
        "february",
        "noon",
        "lunch",
        "I",
        "left",
        "the",
        "couple",
        "of",
        "few",
        "99",
        "0",
        "24:99",
        "9999-99-99",
    ]
)


@settings(max_examples=150)
@given(st.lists(WORDS | st.text(max_size=4), max_size=10))
def test_no_text_breaks_it(words: list[str]) -> None:
    found = when(" ".join(words), NOW_NS)
    assert found.from_ns is None or found.to_ns is None or found.from_ns <= found.to_ns
