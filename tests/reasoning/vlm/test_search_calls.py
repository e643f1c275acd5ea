"""Functions that a chat model calls, as searches."""

import json

import pytest

from reasoning.generation.grammar import Call
from reasoning.vlm.openai_client import ToolCall
from reasoning.vlm.search_calls import called


def recall(**given: object) -> Call:
    return called(ToolCall("1", "recall", json.dumps(given)))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"what": "my keys", "how": "last"}, "when did I last see my keys"),
        ({"what": "the cat", "how": "count"}, "how many times did I see the cat"),
        ({"what": "a bus", "from": "2 pm", "to": "3 pm"}, "a bus between 2 pm and 3 pm"),
        ({"what": "a bus", "to": "3 pm"}, "a bus before 3 pm"),
        ({"what": "a bus", "from": "noon"}, "a bus since noon"),
        ({"what": "tea", "how": "sequence", "then": ["milk", ""]}, "tea; then milk"),
        ({"what": "", "from": "noon"}, "what happened since noon"),
    ],
)
def test_a_recall_is_words_that_say_when_and_how(given: dict[str, object], words: str) -> None:
    assert recall(**given) == Call("text", words, memory=True)


def test_a_recall_by_looks() -> None:
    assert recall(what="it", by="region") == Call("region", "<region>", memory=True)


@pytest.mark.parametrize("arguments", ["", "[1]", "{", '{"then": 3, "what": "x"}', "null"])
def test_bad_arguments_still_make_a_call(arguments: str) -> None:
    call = called(ToolCall("1", "recall", arguments))
    assert call.memory and call.payload


def test_a_search_is_none_of_the_memory() -> None:
    call = called(ToolCall("1", "search", '{"modality": "text", "query": "tea"}'))
    assert call == Call("text", "tea")
