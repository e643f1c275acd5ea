"""Who is asked: what is known, what was seen, or both, each with half of the places."""

from collections.abc import Sequence

import pytest

from retrieval.memory.asking import asks_of_past, recall_of
from retrieval.routed import RoutedSearcher
from stream.events import Evidence, Query, QuerySource


class _Source:
    """Gives as much as it is asked for."""

    def __init__(self, name: str) -> None:
        self.name, self.asked = name, list[int]()

    def search(self, query: Query) -> list[Evidence]:
        self.asked.append(query.k)
        return [Evidence(f"{self.name}{n}", "t", "x", 1.0, self.name) for n in range(query.k)]


@pytest.mark.parametrize(
    ("text", "source", "k", "found"),
    [
        ("Where did I leave my keys?", "auto", 4, ["m0", "m1", "k0", "k1"]),
        ("Where did I leave my keys?", "auto", 1, ["m0"]),
        ("Where did I leave my keys?", "knowledge", 2, ["k0", "k1"]),
        ("Where was coffee first grown?", "auto", 2, ["k0", "k1"]),
        ("keys", "memory", 2, ["m0", "m1"]),
    ],
)
def test_who_is_asked(text: str, source: QuerySource, k: int, found: Sequence[str]) -> None:
    routed = RoutedSearcher(_Source("k"), _Source("m"))
    assert [one.id for one in routed.search(Query("text", text, k, source=source))] == found


@pytest.mark.parametrize(
    "text",
    [
        "Where did I put the scissors?",
        "when did I last water the plants",
        "How often have I been in here?",
        "Have you seen my wallet?",
        "When was the last time I saw the bus?",
        "What did you see on the bench?",
        "Do you remember where the receipt is?",
    ],
)
def test_questions_of_the_past(text: str) -> None:
    assert asks_of_past(text)


@pytest.mark.parametrize(
    "text",
    [
        "What is this?",
        "What have I got in my hand?",
        "What did I just pick up?",
        "When was the bridge built?",
        "Who did the painting?",
        "How old is he?",
        "What did you say?",
        "",
    ],
)
def test_questions_of_now_and_of_the_world(text: str) -> None:
    assert not asks_of_past(text)


def test_scenes_in_order_are_a_sequence() -> None:
    recall = recall_of(Query("text", "open the fridge; then pour milk; then close it"))
    assert (recall.what, recall.then) == ("open the fridge", ("pour milk", "close it"))
