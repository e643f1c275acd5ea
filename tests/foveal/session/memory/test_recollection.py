"""What the memory tells, in sentences."""

import pytest

from foveal.session.memory.recollection import count_sentence, when_sentence, where_sentence
from retrieval.memory.counting import Tally, read_question, tally
from retrieval.memory.events import Event, Sight
from retrieval.memory.places import Whereabouts
from stream.clock import NS_PER_S


def says(session: str, at_ns: int) -> str:
    minutes = at_ns // (60 * NS_PER_S)
    return f"at {14 + minutes // 60}:{minutes % 60:02}"


def event(minute: int, text: str = "") -> Event:
    at = minute * 60 * NS_PER_S
    return Event(f"e{minute}", "a", at, at + NS_PER_S, text=text)


def found(question: str, *events: Event, sights: tuple[Sight, ...] = ()) -> Tally:
    asked = read_question(question)
    assert asked is not None
    return tally(asked, events, sights)


OPENED = [event(0, "open the fridge"), event(1, "take milk"), event(2, "opens fridge")]


@pytest.mark.parametrize(
    ("question", "events", "sentence"),
    [
        (
            "How many times did I open the fridge?",
            [*OPENED, event(9, "open fridge door")],
            "I saw you open the fridge three times, last at 14:09.",
        ),
        ("How often did I take my milk?", OPENED, "I saw you take your milk once, at 14:01."),
        ("How many times did I wash the fridge?", OPENED, "I did not see you wash the fridge."),
        (
            "How many times did I open the fridge?",
            [event(at, "open fridge") for at in range(14)],
            "I saw you open the fridge 14 times, last at 14:13.",
        ),
        (
            "How many times did I open my fridge?",
            [event(1, "a kitchen with a fridge"), event(5, "the fridge and a table")],
            "I saw your fridge in two separate moments, last at 14:05; "
            "what you do with it I do not record.",
        ),
        (
            "How often did I turn the tap on?",
            [event(1, "a desk")],
            "I keep no record of what you do, and did not see that.",
        ),
    ],
)
def test_counts(question: str, events: list[Event], sentence: str) -> None:
    assert count_sentence(found(question, *events), says) == sentence


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        ("When was the last time I opened the fridge?", "I last saw you open the fridge at 14:02."),
        ("When did I first open the fridge?", "I first saw you open the fridge at 14:00."),
        ("When did I last lock the door?", "I did not see you lock the door."),
    ],
)
def test_times(question: str, sentence: str) -> None:
    assert when_sentence(found(question, *OPENED), says) == sentence


def test_times_of_what_is_not_recorded() -> None:
    told = when_sentence(found("When did I last open the door?", event(3, "a red door")), says)
    assert told == (
        "I saw the door in one separate moment, at 14:03; what you do with it I do not record."
    )


def test_places() -> None:
    at = event(2)
    sight = Sight(at.id, 1, "cup", 0.9, (0, 0, 9, 9), at.start_ns, at.end_ns)
    full = Whereabouts(at, sight, "", ("table", "wall"), ("kettle",), "kitchen")
    assert where_sentence("my cup", full, says) == (
        "I last saw your cup at 14:02, by the table, next to the kettle, around the kitchen."
    )
    told = Whereabouts(at, None, "on the kitchen shelf", (), (), "kitchen")
    assert where_sentence("the keys", told, says) == (
        "I last heard of the keys at 14:02, on the kitchen shelf."
    )
    bare = where_sentence("the keys", Whereabouts(at, sight), says)
    assert bare == "I last saw the keys at 14:02, but I don't know what was around it."
    assert where_sentence("my keys", None, says) == "I have not seen your keys."
