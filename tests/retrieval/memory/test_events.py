"""What a memory's nouns accept, and what they refuse with a reason."""

from typing import Any

import numpy as np
import pytest

from retrieval.encoders.text import unit_rows
from retrieval.memory.events import (
    LOOK_BYTES,
    MAX_TEXT,
    SCALE,
    Event,
    MemorySession,
    Sight,
    quantise,
)
from retrieval.memory.recall import Recall
from stream.errors import BadRecord, QueryError

SIGHT: dict[str, Any] = {
    "event": "e",
    "track": 1,
    "name": "cup",
    "confidence": 0.5,
    "box": (0, 0, 2, 2),
    "start_ns": 0,
    "end_ns": 1,
}


def test_wall_time_is_the_anchor_plus_the_sessions_own() -> None:
    assert MemorySession("s", anchor_ns=1_000).wall_ns(5) == 1_005


def test_an_instant_is_an_event() -> None:
    said = Event("e", "s", 7, 7, said="Hello.", spoken_by="wearer")
    assert (said.end_ns, said.spoken_by) == (7, "wearer")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"start_ns": 2, "end_ns": 1}, "ends at or after"),
        ({"id": ""}, "an id"),
        ({"id": "a\ud800"}, "an id"),
        ({"parent": ""}, "an id"),
        ({"end_ns": 2**63}, "nanoseconds"),
        ({"said": "x" * (MAX_TEXT + 1)}, "characters"),
        ({"frame": np.zeros(4, np.float32)}, "int8"),
        ({"frame": np.zeros((1, 4), np.int8)}, "int8"),
    ],
)
def test_events_that_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(BadRecord, match=said):
        Event(**{"id": "e", "session": "s", "start_ns": 0, "end_ns": 1, **wrong})


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"box": (2, 0, 2, 2)}, "box"),
        ({"confidence": float("nan")}, "confidence"),
        ({"look": b"\0" * (LOOK_BYTES - 1)}, "bytes"),
        ({"start_ns": 9}, "ends at or after"),
    ],
)
def test_sights_that_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(BadRecord, match=said):
        Sight(**{**SIGHT, **wrong})


def test_quantised_vectors_keep_their_cosine() -> None:
    rng = np.random.default_rng(0)
    vectors = unit_rows(rng.normal(size=(50, 384)).astype(np.float32))
    kept = quantise(vectors)
    assert kept.dtype == np.int8
    cosines = (kept.astype(np.float32) / SCALE * vectors).sum(axis=1)
    assert cosines.min() > 0.998


def test_nan_is_refused() -> None:
    with pytest.raises(BadRecord, match="finite"):
        quantise(np.array([[np.nan, 0.0]], np.float32))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({}, "words, a picture or a time"),
        ({"what": "cup", "k": 0}, "k >= 1"),
        ({"what": "cup", "by": "look"}, "picture"),
        ({"from_ns": 0, "by": "words"}, "words"),
        ({"from_ns": 5, "to_ns": 4}, "ends before"),
    ],
)
def test_recalls_that_ask_for_nothing(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(QueryError, match=said):
        Recall(**wrong)


def test_a_time_alone_is_enough_to_recall_by() -> None:
    assert Recall(from_ns=0, to_ns=0).k == 3
