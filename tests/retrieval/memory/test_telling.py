"""What is told of a moment: when, how long ago, what, beside what."""

import pytest

from retrieval.memory.telling import RecalledMoment, Seen, ago, clock_time, tell
from stream.clock import NS_PER_S
from tests.retrieval.memory.makers import MINUTE, NOON

CUP, KETTLE = Seen("blue cup", (0, 0, 10, 10)), Seen("kettle", (12, 0, 30, 20))
MOMENT = RecalledMoment(
    "e", NOON, NOON + MINUTE, "UTC", things=(CUP, Seen("door", (90, 0, 99, 9)), KETTLE)
)
NOW = NOON + 13 * MINUTE


def test_a_thing_with_what_is_next_to_it() -> None:
    told = tell(MOMENT, CUP, NOW)
    assert told == "12:00, 12 minutes ago: blue cup, next to kettle and door"


def test_words_read_and_said_are_quoted() -> None:
    moment = RecalledMoment("e", NOON, NOON, "UTC", "EXIT 4", "Where to?", "wearer")
    assert tell(moment, None, NOON) == '12:00, just now: EXIT 4; you said "Where to?"'
    assert tell(moment, None, NOON, -1).startswith("just before that, 12:00")


def test_a_moment_of_nothing_says_so() -> None:
    assert tell(RecalledMoment("e", NOON, NOON, "UTC"), Seen("", CUP.box), NOON).endswith(
        "has no name"
    )


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-5, "just now"),
        (44, "just now"),
        (60, "1 minute ago"),
        (5340, "89 minutes ago"),
        (5400, "2 hours ago"),
        (40 * 3600, "2 days ago"),
    ],
)
def test_how_long_ago(seconds: int, said: str) -> None:
    assert ago(NOON - seconds * NS_PER_S, NOON) == said


@pytest.mark.parametrize(
    ("days", "said"),
    [
        (0, "13:00"),
        (1, "yesterday 13:00"),
        (3, "Friday 13:00"),
        (300, "4 February 14:00"),
        (400, "27 October 2024 13:00"),
    ],
)
def test_the_wearers_own_clock(days: int, said: str) -> None:
    at = NOON - days * 86_400 * NS_PER_S
    zone = "Europe/Paris" if days != 300 else "Asia/Nicosia"
    assert clock_time(at, NOON, zone) == said
