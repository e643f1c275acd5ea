"""Turns: what a silence ends, what it does not, and properties over any sound."""

import dataclasses
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.listening.endpointing import (
    EndpointConfig,
    Endpointer,
    EndpointEvent,
    Hint,
    SpeechLulled,
    SpeechPaused,
    SpeechResumed,
    SpeechWindow,
)
from devices.listening.speech_events import SpeechEnded, SpeechStarted
from devices.listening.vad import WINDOW_NS
from stream.clock import NS_PER_MS
from stream.errors import ConfigError

CONFIG = EndpointConfig(max_utterance_ns=3200 * NS_PER_MS)


def run(
    chances: list[float], hint: Hint = "unknown", config: EndpointConfig = CONFIG
) -> list[EndpointEvent]:
    endpointer = Endpointer(config)
    state, events = endpointer.init_state(), []
    for number, chance in enumerate(chances):
        window = SpeechWindow(number * WINDOW_NS, (number + 1) * WINDOW_NS, chance)
        state, new = endpointer.step(state, window, hint)
        events += new
    return events


def test_one_utterance() -> None:
    events = run([0.0] * 5 + [0.9] * 20 + [0.0] * 30)
    assert events == [
        SpeechStarted(5 * WINDOW_NS, 8 * WINDOW_NS),
        SpeechPaused(25 * WINDOW_NS, 28 * WINDOW_NS),
        SpeechLulled(25 * WINDOW_NS),
        SpeechEnded(5 * WINDOW_NS, 25 * WINDOW_NS, 41 * WINDOW_NS, "silence"),
    ]


@pytest.mark.parametrize(
    ("hint", "windows"), [("finished", 8), ("unknown", 16), ("unfinished", 32)]
)
def test_what_was_said_decides_how_long_a_silence_ends_it(hint: Hint, windows: int) -> None:
    ended = run([0.9] * 10 + [0.0] * 60, hint)[-1]
    assert isinstance(ended, SpeechEnded)
    assert ended.decided_ns - ended.ended_ns == windows * WINDOW_NS


def test_a_click_is_no_speech() -> None:
    assert run([0.0, 0.9, 0.9, 0.0, 0.0] * 20) == []


def test_speech_that_goes_on_after_a_pause_is_one_utterance() -> None:
    events = run([0.9] * 10 + [0.0] * 6 + [0.9] * 10 + [0.0] * 40)
    assert [type(event) for event in events] == [
        SpeechStarted,
        SpeechPaused,
        SpeechLulled,
        SpeechResumed,
        SpeechPaused,
        SpeechLulled,
        SpeechEnded,
    ]


def test_endless_speech_is_cut_at_the_limit() -> None:
    ended = [event for event in run([0.9] * 250) if isinstance(event, SpeechEnded)]
    assert [event.reason for event in ended] == ["limit", "limit"]
    assert all(e.decided_ns - e.started_ns == CONFIG.max_utterance_ns for e in ended)


def test_push_to_talk_waits_for_the_release() -> None:
    endpointer = Endpointer(CONFIG)
    state, events = endpointer.press(endpointer.init_state(), 0)
    for number, chance in enumerate([0.9] * 5 + [0.0] * 50):
        window = SpeechWindow(number * WINDOW_NS, (number + 1) * WINDOW_NS, chance)
        state, new = endpointer.step(state, window)
        events += new
    state, new = endpointer.release(state, 55 * WINDOW_NS)
    assert new == [SpeechEnded(0, 5 * WINDOW_NS, 55 * WINDOW_NS, "released")]
    assert not any(isinstance(event, SpeechEnded) for event in events)
    assert endpointer.release(state, 56 * WINDOW_NS) == (state, [])


CHANCES = st.lists(
    st.tuples(st.sampled_from([0.0, 0.2, 0.4, 0.6, 1.0]), st.integers(1, 40)), max_size=12
).map(lambda runs: [chance for chance, count in runs for _ in range(count)])


@given(CHANCES, st.sampled_from(["unknown", "finished", "unfinished"]))
def test_utterances_follow_each_other(chances: list[float], hint: Hint) -> None:
    events = run(chances, hint)
    turns = [event for event in events if isinstance(event, SpeechStarted | SpeechEnded)]
    assert all(type(one) is not type(other) for one, other in pairwise(turns))
    assert not turns or isinstance(turns[0], SpeechStarted)
    last_ns = 0
    for event in turns:
        if isinstance(event, SpeechStarted):
            assert last_ns <= event.at_ns < event.decided_ns
            begun_ns = event.at_ns
        else:
            assert event.started_ns == begun_ns < event.ended_ns <= event.decided_ns
            assert event.decided_ns - event.started_ns <= CONFIG.max_utterance_ns
            last_ns = event.ended_ns


@given(CHANCES)
def test_silence_ends_everything(chances: list[float]) -> None:
    count = {SpeechStarted: 0, SpeechEnded: 0}
    for event in run(chances + [0.0] * 40, "unfinished"):
        if isinstance(event, SpeechStarted | SpeechEnded):
            count[type(event)] += 1
    assert count[SpeechStarted] == count[SpeechEnded]


@given(CHANCES)
def test_resumed_only_after_paused(chances: list[float]) -> None:
    paused = False
    for event in run(chances):
        if isinstance(event, SpeechResumed):
            assert paused
        if isinstance(event, SpeechPaused):
            assert not paused
        if isinstance(event, SpeechLulled):
            assert paused
        paused = isinstance(event, SpeechPaused | SpeechLulled)


@pytest.mark.parametrize(
    "change",
    [
        {"keep_probability": 0.8},
        {"start_probability": 1.5},
        {"pause_ns": 0},
        {"finished_ns": 2000 * NS_PER_MS},
        {"max_utterance_ns": 60_000 * NS_PER_MS},
    ],
)
def test_contradictions_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        dataclasses.replace(CONFIG, **change)  # type: ignore[arg-type]
