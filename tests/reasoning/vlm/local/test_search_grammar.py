"""Which words may come next in an answer that searches."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reasoning.generation.grammar import Call, read_payload
from reasoning.generation.tokens import END_SEARCH, SEARCH
from reasoning.vlm.local.search_grammar import allows, closing, likeliest, payload

LETTERS = st.text("<>/searchgion im", max_size=30)


@pytest.mark.parametrize(
    "text",
    ["", "a <", "<search><", "a <search", "a <search>", "<search> ", "<search><reg",
     "<search> <region> </",
     "<search><image></search>", "<search>what is", "<search>what is</sea", "a < b </search> > c"],
)  # fmt: skip
def test_what_may_stand(text: str) -> None:
    assert allows(text, True)


@pytest.mark.parametrize(
    "text",
    ["<search></search>", "<search><region>x", "<search>a <region>", "<search>a<b",
     "<search>a>", "<search><search>", "<search><end_of_turn>", "<search>a</search> b"],
)  # fmt: skip
def test_what_may_not(text: str) -> None:
    assert not allows(text, True)


def test_a_search_that_may_not_be_made_is_not_begun() -> None:
    assert allows("a <", False) and allows("a <sea", False)
    assert not allows("a <search", False) and not allows("a <search>", False)


@given(LETTERS)
def test_every_open_call_can_be_closed(inner: str) -> None:
    text = f"It is {SEARCH}{inner}"
    if not allows(text, True) or text.endswith(END_SEARCH):
        return
    closed = text + closing(text)
    call = read_payload(closed.partition(SEARCH)[2].removesuffix(END_SEARCH))
    assert isinstance(call, Call) and allows(closed, True)


@given(LETTERS, LETTERS)
def test_what_is_refused_stays_refused(inner: str, more: str) -> None:
    text = f"{SEARCH}{inner}"
    if not allows(text, True):
        assert not allows(text + more, True)


def test_the_likeliest_that_is_allowed_is_taken() -> None:
    logits = torch.tensor([0.0, 3.0, 2.0, 1.0])
    assert likeliest(logits, lambda token: True) == 1
    assert likeliest(logits, lambda token: token != 1) == 2
    assert likeliest(logits, lambda token: False) is None


def test_the_payload_of_an_open_call() -> None:
    assert payload("no call") is None and payload("a <search>  cat") == "cat"
