"""One alarm an occurrence, none from one look; clocks that go back; places that are left."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from reasoning.standing.leaving import AWAY_LOOKS, AWAY_NS, Leaving
from reasoning.standing.occurrences import CHAIN_NS, GONE_NS, WINDOW, Chain, Presence
from stream.clock import NS_PER_S

HALF = NS_PER_S // 2


def turns(looks: list[tuple[int, float]], presence: Presence | None = None) -> list[str]:
    told: list[str] = []
    presence = presence or Presence()
    for at_ns, probability in looks:
        presence, turned = presence.step(at_ns, probability)
        told.append(turned)
    return told


def test_one_look_is_no_evidence_and_two_are() -> None:
    assert turns([(0, 0.99), (HALF, 0.1), (2 * HALF, 0.1)]) == ["no"] * 3
    assert turns([(0, 0.9), (HALF, 0.9)]) == ["no", "began"]
    assert turns([(0, 0.9), (HALF, 0.1), (2 * HALF, 0.9)]) == ["no", "no", "began"]


def test_looks_that_are_too_near_count_as_one() -> None:
    assert turns([(0, 0.9), (1, 0.9), (2, 0.9)]) == ["no"] * 3


def test_looks_far_apart_do_not_add_up() -> None:
    assert turns([(0, 0.9), (60 * NS_PER_S, 0.9)]) == ["no", "no"]


def test_an_occurrence_is_told_once_and_the_next_one_again() -> None:
    here = [(n * HALF, 0.9) for n in range(10)]
    away = [(5 * NS_PER_S + n * HALF, 0.0) for n in range(10)]
    back = [(10 * NS_PER_S + n * HALF, 0.9) for n in range(4)]
    told = turns([*here, *away, *back])
    assert told.count("began") == 2 and told.count("ended") == 1
    assert (away[told.index("ended") - 10][0] - here[-1][0]) >= GONE_NS


def test_a_short_gap_does_not_end_an_occurrence() -> None:
    looks = [(0, 0.9), (HALF, 0.9), (2 * HALF, 0.0), (3 * HALF, 0.0), (4 * HALF, 0.9)]
    assert turns(looks) == ["no", "began", "no", "no", "no"]


def test_what_is_pointed_at_has_to_go_before_it_comes_again() -> None:
    there = Presence(here=True)
    assert "began" not in turns([(n * HALF, 0.9) for n in range(9)], there)
    gone = [(n * 2 * NS_PER_S, 0.0) for n in range(4)]
    back = [(9 * NS_PER_S, 0.9), (10 * NS_PER_S, 0.9)]
    assert turns([*gone, *back], there)[-1] == "began"


def test_a_clock_that_goes_back_starts_the_looks_anew() -> None:
    assert turns([(9 * NS_PER_S, 0.9), (0, 0.9)]) == ["no", "no"]
    assert turns([(9 * NS_PER_S, 0.9), (0, 0.9), (HALF, 0.9)]) == ["no", "no", "began"]


@given(st.lists(st.tuples(st.integers(0, 10**11), st.floats(0, 1)), max_size=40))
def test_whatever_the_looks_what_begins_ends_before_it_begins_again(
    looks: list[tuple[int, float]],
) -> None:
    told = [one for one in turns(looks) if one != "no"]
    assert all(one != other for one, other in pairwise(told))
    presence = Presence()
    for at_ns, probability in looks:
        presence = presence.step(at_ns, probability)[0]
        assert len(presence.recent) <= WINDOW


def test_a_sequence_needs_its_order() -> None:
    def complete(looks: list[tuple[int, float, float]]) -> list[bool]:
        chain, done = Chain((Presence(), Presence())), []
        for at_ns, first, second in looks:
            chain, whole = chain.step(at_ns, (first, second))
            done.append(whole)
        return done

    right = [(0, 0.9, 0.0), (HALF, 0.9, 0.0), (2 * HALF, 0.0, 0.9), (3 * HALF, 0.0, 0.9)]
    assert complete(right) == [False, False, False, True]
    wrong = [(at, second, first) for at, first, second in right]
    assert not any(complete(wrong))
    late = [(at + (2 * CHAIN_NS if at > HALF else 0), a, b) for at, a, b in right]
    assert not any(complete(late))


def test_a_place_is_left_after_a_while_and_turning_round_is_no_leaving() -> None:
    one, other = np.eye(4, dtype=np.float32)[:2]
    leaving, left = Leaving(), []
    for second in range(3):
        leaving, gone = leaving.step(second * NS_PER_S, one)
        left.append(gone)
    leaving, gone = leaving.step(3 * NS_PER_S, other)  # turned round
    leaving, back = leaving.step(4 * NS_PER_S, one)
    assert not any((*left, gone, back)) and not leaving.going
    left = []
    for second in range(5, 12):
        leaving, gone = leaving.step(second * NS_PER_S, other)
        left.append(gone)
    assert left.index(True) == max(AWAY_LOOKS - 1, AWAY_NS // NS_PER_S) and sum(left) == 1
