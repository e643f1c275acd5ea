"""How often and when last, over a record of events."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.memory.counting import CountQuestion, merge_episodes, read_question, tally
from retrieval.memory.events import Event, Sight
from stream.clock import NS_PER_S


def event(
    at_s: float, text: str = "", seconds: float = 2, session: str = "a", said: str = ""
) -> Event:
    start_ns = round(at_s * NS_PER_S)
    return Event(
        f"{session}{at_s}", session, start_ns, start_ns + round(seconds * NS_PER_S),
        text=text, said=said,
    )  # fmt: skip


def sight(of: Event, name: str) -> Sight:
    return Sight(of.id, 1, name, 0.9, (0, 0, 9, 9), of.start_ns, of.end_ns)


def question(text: str) -> CountQuestion:
    found = read_question(text)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("text", "asked", "said"),
    [
        ("How many times did I open the fridge today?", "count", "open the fridge"),
        ("how often have we washed the car?", "count", "washed the car"),
        ("When did I last take my pills?", "last", "take my pills"),
        ("When was the last time that I fed the cat", "last", "fed the cat"),
        ("When did I first turn on the oven this morning?", "first", "turn on the oven"),
        ("Tell me, when did I turn the oven off last?", "last", "turn the oven off"),
        ("How many times did I sneeze in the last two hours?", "count", "sneeze"),
    ],
)
def test_questions(text: str, asked: str, said: str) -> None:
    found = question(text)
    assert (found.asked, found.said) == (asked, said)


@pytest.mark.parametrize("text", ["", "What is this?", "How many cups are there?", "when did I"])
def test_other_questions(text: str) -> None:
    assert read_question(text) is None


RECORD = [
    event(0, "open the fridge"),
    event(8, "opens the refrigerator"),  # one episode with the first
    event(20, "take the milk"),
    event(100, "open the fridge door and take the eggs"),
    event(200, "close the fridge"),
    event(300, "opened the fridge", session="b"),
    event(1, "open the window", session="b"),
]


def test_episodes_are_counted_and_not_events() -> None:
    found = tally(question("How many times did I open the fridge?"), RECORD)
    assert found.count == 3 and found.recorded
    assert found.first is not None and found.first.events == ("a0", "a8")
    assert found.last is not None and (found.last.session, found.last.events) == ("b", ("b300",))


def test_what_was_not_done_is_told_apart_from_what_is_not_recorded() -> None:
    never = tally(question("How many times did I wash the fridge?"), RECORD)
    assert never.count == 0 and never.recorded and never.last is None
    views = [event(at, "a kitchen with a table") for at in range(0, 100, 30)]
    sights = [sight(views[0], "fridge"), sight(views[2], "refrigerator"), sight(views[2], "cup")]
    unknown = tally(question("How many times did I open the fridge?"), views, sights)
    assert unknown.count == 0 and not unknown.recorded
    assert [one.events for one in unknown.seen] == [("a0",), ("a60",)]


def test_seeing_is_counted_from_sights_and_words() -> None:
    views = [event(0), event(60, said="There is the cat."), event(120, "a dog"), event(180)]
    found = tally(question("How often did I see the cat?"), views, [sight(views[3], "cat")])
    assert [one.events for one in found.episodes] == [("a60",), ("a180",)]


def test_no_record() -> None:
    found = tally(question("When did I last open the door?"), [])
    assert found.episodes == found.seen == () and not found.recorded


spans = st.lists(
    st.tuples(st.integers(0, 200), st.integers(0, 20), st.sampled_from("ab")), max_size=12
)


@settings(max_examples=40)
@given(spans, st.integers(0, 30))
def test_episodes_are_the_parts_that_no_gap_divides(
    rows: list[tuple[int, int, str]], gap: int
) -> None:
    marked = [(event(at, seconds=long, session=name), at, at + long) for at, long, name in rows]
    episodes = merge_episodes(marked, gap)
    assert sorted({one for episode in episodes for one in episode.events}) == sorted(
        {of.id for of, _, _ in marked}
    )
    for name in "ab":
        # Two moments are of one episode where no stretch longer than the gap between them is empty.
        covered = {
            t
            for of, lo, hi in marked
            for t in range(2 * lo, 2 * (hi + gap) + 1)
            if of.session == name
        }
        runs = sum(t - 1 not in covered for t in covered)
        mine = [one for one in episodes if one.session == name]
        assert len(mine) == runs
        assert all(a.end_ns + gap < b.start_ns for a, b in pairwise(mine))
