"""Which frames are left out: late ones, never a needed one, never too many in a row."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.errors import ConfigError
from stream.sources.skipping import SkipPolicy, SkipState, decide

Frames = list[tuple[int, bool]]
FRAMES = st.lists(st.tuples(st.integers(-1_000, 1_000), st.booleans()), max_size=60)


def play(policy: SkipPolicy, frames: Frames) -> tuple[SkipState, list[bool]]:
    state, taken = SkipState(), []
    for late_ns, needed in frames:
        state, one = decide(policy, state, late_ns, needed)
        taken.append(one)
    return state, taken


@given(FRAMES, st.integers(0, 500), st.integers(1, 8))
def test_every_frame_is_counted_and_needed_ones_are_taken(
    frames: Frames, limit: int, most: int
) -> None:
    state, taken = play(SkipPolicy(limit, most), frames)
    assert state.taken == sum(taken) and state.taken + state.late == len(frames)
    run = 0
    for (late_ns, needed), one in zip(frames, taken, strict=True):
        assert one or (late_ns > limit and not needed)
        run = 0 if one else run + 1
        assert run <= most
    assert state.run == run


@given(FRAMES)
def test_nothing_late_nothing_left_out(frames: Frames) -> None:
    state, taken = play(SkipPolicy(1_000), frames)
    assert all(taken) and state.counts() == {"late": 0, "kept_needed": 0, "kept_run": 0}


def test_causes() -> None:
    state, taken = play(SkipPolicy(10, 2), [(11, False), (11, False), (11, False), (11, True)])
    assert taken == [False, False, True, True]
    assert state.counts() == {"late": 2, "kept_needed": 1, "kept_run": 1}


@pytest.mark.parametrize(("late", "run"), [(-1, 1), (0, 0)])
def test_nonsense_policies_are_refused(late: int, run: int) -> None:
    with pytest.raises(ConfigError, match="max_late_ns of 0 or more"):
        SkipPolicy(late, run)
