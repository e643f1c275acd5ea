"""Acts read from plain English."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.memory.words.acts import MAX_ACTS, Act, read_acts, read_thing


def only(text: str) -> Act:
    (act,) = read_acts(text)
    return act


@pytest.mark.parametrize(
    ("told", "asked"),
    [
        ("pick up the blue cup from the table", "take the mug"),
        ("I've just switched the heater off", "turn off the heater"),
        ("The person is washing two knives in the sink", "rinse the knife"),
        ("open the cupboard door", "open the cabinet"),
        ("continue stirring soup", "mix the soup"),
        ("starts to peel an orange", "peel the orange"),
        ("cut a slice of bread", "cut the bread"),
        ("sat down on the sofa", "sit on the couch"),
        ("take the knife out of the drawer", "remove the knife"),
        ("put pen and paper on the desk", "put down the paper"),
        ("butter the toast", "butter the toast"),
        ("carefully lock the door", "lock the door"),
        ("opening the faucet", "turn on the tap"),
        ("close the gas valve", "turn off the valve"),
    ],
)
def test_what_was_told_is_what_is_asked_for(told: str, asked: str) -> None:
    assert only(told).fits(only(asked))


@pytest.mark.parametrize(
    ("told", "asked"),
    [
        ("put the lid on the pan", "put down the pan"),
        ("turn the tap on", "turn off the tap"),
        ("turn on the tap", "turn the tap"),
        ("open the fridge", "open the window"),
        ("close the fridge", "open the fridge"),
        ("close the tap", "turn on the tap"),
        ("open the fridge", "turn on the fridge"),
        ("wash the metal spoon", "wash the wooden spoon"),
        ("cut the bread", "cut the bread and the cheese"),
    ],
)
def test_what_was_told_is_something_else(told: str, asked: str) -> None:
    assert not only(told).fits(only(asked))


def test_a_bare_name_may_be_the_thing_that_is_asked_for_exactly() -> None:
    assert only("wash the spoon").fits(only("wash the wooden spoon"))


def test_acts_of_one_text_are_apart() -> None:
    text = "I opened the window, fed the cat and closed the door; then sat down"
    assert [act.verb for act in read_acts(text)] == ["open", "feed", "close", "sit down"]


@pytest.mark.parametrize(
    "text", ["", "   ", "a kitchen with a fridge", "the cup", "I did not open it", "42", "on the"]
)
def test_no_act(text: str) -> None:
    assert read_acts(text) == ()


def test_a_noun_that_looks_like_a_verb_is_not_known() -> None:
    assert only("open the door").known and not only("kitchen counter with a cup").known


def test_a_long_text_has_a_bound() -> None:
    assert len(read_acts("take it. " * 10_000)) == MAX_ACTS


@settings(max_examples=60)
@given(st.text(max_size=80) | st.from_regex(r"([a-z]{1,6}[ ,.-]){1,12}", fullmatch=True))
def test_any_text_is_read(text: str) -> None:
    for act in read_acts(text):
        assert act.verb and act.keys and all(thing.keys for thing in act.things)


def test_things() -> None:
    bottle = read_thing("a bottle of olive oil")
    assert bottle is not None and bottle.modifiers == {"olive", "oil"}
    assert read_thing("") is None and read_thing("the") is None
