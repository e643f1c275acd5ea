"""What is a standing question, what is another kind of question, and what is refused in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasoning.standing.requests import (
    CancelRequest,
    ListRequest,
    Unwatchable,
    WatchRequest,
    is_name,
    read_request,
)
from reasoning.standing.wording import means


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ("Tell me when you see the milk.", WatchRequest("see", ("milk",))),
        ("when you spot a red cup, let me know", WatchRequest("see", ("red cup",))),
        ("Could you please alert me as soon as there's a bus?", WatchRequest("see", ("bus",))),
        ("let me know when a cat comes into view", WatchRequest("see", ("cat",))),
        ("watch out for a dog", WatchRequest("see", ("dog",))),
        ("tell me every time you see a dog", WatchRequest("see", ("dog",), True)),
        ("Tell me when you see this again", WatchRequest("again", ())),
        ("tell me when that cup is back in view", WatchRequest("again", ())),
        ("tell me when you see a cup and then a spoon", WatchRequest("sequence", ("cup", "spoon"))),
        ("tell me when you see a spoon after a cup", WatchRequest("sequence", ("cup", "spoon"))),
        ("if I leave without my keys", WatchRequest("leave", ("keys",), True)),
        ("don't let me leave without my umbrella", WatchRequest("leave", ("umbrella",), True)),
        ("remind me when I leave the house without a bag", WatchRequest("leave", ("bag",), True)),
        ("what are you watching for?", ListRequest()),
        ("Stop watching for the milk", CancelRequest("milk")),
        ("stop telling me about the cat", CancelRequest("cat")),
        ("stop watching", CancelRequest()),
        ("cancel all alerts", CancelRequest()),
    ],
)
def test_standing_questions_are_read(text: str, request_: object) -> None:
    assert read_request(text) == request_


@pytest.mark.parametrize(
    "text",
    [
        "Tell me when the Eiffel Tower was built",
        "tell me when Easter is",
        "Tell me if this is safe to eat",
        "tell me if there is a cup",
        "What is this?",
        "Stop",
        "Tell me about the dog",
        "When did you see the milk?",
        "",
        "…",
    ],
)
def test_other_questions_are_none(text: str) -> None:
    assert read_request(text) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("tell me when the kettle boils over", "the kettle boils over"),
        ("let me know when the light turns green", "not for what happens"),
        ("tell me when you see my wife", "do not recognise people"),
        ("tell me when you see him again", "do not recognise people"),
        ("tell me when you see somebody called Anna", "do not recognise people"),
        ("tell me when you see", "what to watch for"),
        ("tell me when you see the", "what to watch for"),
        ("tell me when you see " + "a very " * 20 + "long thing", "a word or two"),
    ],
)
def test_what_nobody_can_watch_is_refused_in_words(text: str, why: str) -> None:
    request = read_request(text)
    assert isinstance(request, Unwatchable) and why in request.reason


def test_names_are_told_from_things() -> None:
    assert is_name("Anna", "Tell me when you see Anna")
    assert not is_name("Persian", "Tell me when you see a Persian")
    assert not is_name("milk", "tell me when you see milk")


def test_words_mean_a_standing_question() -> None:
    cup = WatchRequest("see", ("red cup",))
    assert means(cup, "cups") and means(cup, "") and not means(cup, "dog")
    assert means(WatchRequest("again", ()), "this") and not means(WatchRequest("again", ()), "cup")


@given(st.text(max_size=300))
def test_any_words_are_read_or_passed_over(text: str) -> None:
    for words in (text, f"tell me when you see {text}", f"stop watching for {text}"):
        request = read_request(words)
        if isinstance(request, WatchRequest) and request.kind != "again":
            assert request.things and all(any(c.isalnum() for c in one) for one in request.things)
