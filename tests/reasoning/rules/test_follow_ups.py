"""Follow-ups become whole questions; everything else stays as it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasoning.rules.follow_ups import expand, name_person


@pytest.mark.parametrize(
    ("before", "question", "whole"),
    [
        (["What colour is the cup?"], "And the spoon?", "What colour is the spoon?"),
        (["Where is the cup?"], "What about my phone?", "Where is my phone?"),
        (
            ["What is the population of France?"],
            "And of Germany?",
            "What is the population of Germany?",
        ),
        (["How high is Mount Everest?"], "And Mont Blanc?", "How high is Mont Blanc?"),
        (["How many pillows are there?"], "And lamps?", "How many lamps are there?"),
        (["Is there a fork?"], "And a knife?", "Is there a knife?"),
        (["What is this?"], "And that one?", "What is that one?"),
        (["Who invented it?"], "and the other one", "Who invented the other one?"),
        (["Where is the cup?", "And the fork?"], "And the knife?", "Where is the knife?"),
        (["Where is the cup?"], "And what is this?", "What is this?"),
        (["Where is the cup?"], "What is this?", "What is this?"),
        ([], "And the spoon?", "And the spoon?"),
        (["Where is the cup?"], "", ""),
    ],
)
def test_expand(before: list[str], question: str, whole: str) -> None:
    assert expand(question, before) == whole


HAMLET = "Hamlet is a tragedy by the English poet William Shakespeare. (Source: Hamlet.)"


@pytest.mark.parametrize(
    ("answer", "question", "whole"),
    [
        (HAMLET, "When was he born?", "When was William Shakespeare born?"),
        (HAMLET, "What was his wife called?", "What was William Shakespeare's wife called?"),
        (HAMLET, "When was it written?", "When was it written?"),
        (
            "Marie Curie, physicist, lived from 1867 to 1934. (Source: Marie Curie.)",
            "Who taught her?",
            "Who taught Marie Curie?",
        ),
        ("I see a person in the middle.", "Is she married?", "Is she married?"),
        ("Tea is a hot drink. (Source: Tea.)", "Is he here?", "Is he here?"),
    ],
)
def test_name_person(answer: str, question: str, whole: str) -> None:
    assert name_person(question, answer) == whole


@given(st.lists(st.text(max_size=60), max_size=4), st.text(max_size=60))
def test_any_text_survives(before: list[str], question: str) -> None:
    assert isinstance(expand(question, before), str)
    assert expand(question, []) == question or question.lower().lstrip().startswith(
        ("and", "what", "how")
    )
