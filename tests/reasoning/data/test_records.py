"""Training records: round trip, validator, and sequences that obey the grammar."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasoning.data.records import (
    Entity,
    Information,
    SearchCall,
    Segment,
    TrainingRecord,
    TurnRecord,
    Words,
    as_json,
    from_json,
    problems,
    read_jsonl,
    sequence_of,
    write_jsonl,
)
from reasoning.generation.grammar import parse
from stream.errors import SourceError
from stream.geometry import encode_mask

SIZE = (6, 8)
MASK = encode_mask(np.arange(48).reshape(SIZE) % 3 == 0)
INFO = Information("Zebra: It eats grass. | Horse: It runs.", ("wiki:Zebra", "wiki:Horse"))
GOOD: tuple[Segment, ...] = (
    Words("The"),
    Entity(" animal", MASK),
    SearchCall("region", "<region>"),
    INFO,
    Words(" is a zebra"),
    SearchCall("text", "What do zebras eat?"),
    INFO,
    Words(": it eats grass."),
)


def record(*segments: Segment) -> TrainingRecord:
    return TrainingRecord(
        "a", "skimage:coffee", SIZE, (TurnRecord("What is it?", (1, 2), segments),)
    )


def test_a_sound_record_is_written_as_its_sequence() -> None:
    good = record(*GOOD)
    assert problems(good) == []
    assert sequence_of(GOOD) == (
        "The animal<search><region></search><information> Zebra: It eats grass. | Horse: It runs. "
        "</information> is a zebra<search> What do zebras eat? </search><information> Zebra: It "
        "eats grass. | Horse: It runs. </information>: it eats grass."
    )
    assert [s.kind for s in parse(sequence_of(GOOD))].count("information") == 2


def test_round_trip_through_a_file(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    records = [record(*GOOD), replace(record(Words("I don't know.")), id="b")]
    assert write_jsonl(path, records) == 2
    assert list(read_jsonl(path)) == records


@pytest.mark.parametrize(
    ("segments", "complaint"),
    [
        ((), "says nothing"),
        ((SearchCall("region", "<region>"), INFO, Words("x")), "needs an entity before"),
        ((Words("x"), SearchCall("text", "why?")), "must follow each other"),
        ((Words("x"), INFO), "must follow each other"),
        ((INFO, Words("x")), "before any call"),
        ((Words("see </information>"),), "angle brackets"),
        ((Words("x"), SearchCall("text", "<region>"), INFO), "expected words as a query"),
        ((Words("x"), SearchCall("image", "zebra"), INFO), "expected the query <image>"),
        ((Words("x"), SearchCall("text", "a <search> b"), INFO), "expected words as a query"),
        ((Entity("x", encode_mask(np.zeros(SIZE, bool))),), "is empty"),
        ((Entity("x", encode_mask(np.ones((3, 3), bool))),), "expected a mask of"),
        ((Words("a"), *(SearchCall("text", "q"), INFO) * 4), "more than 3 searches"),
    ],
)
def test_what_is_wrong_is_said(segments: tuple[Segment, ...], complaint: str) -> None:
    assert any(complaint in what for what in problems(record(*segments)))


def test_a_point_outside_the_picture_is_a_problem() -> None:
    bad = replace(record(Words("x")), turns=(TurnRecord("Why?", (8, 0), (Words("x"),)),))
    assert any("outside" in what for what in problems(bad))


def test_a_record_with_problems_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="says nothing"):
        write_jsonl(tmp_path / "bad.jsonl", [record()])


@pytest.mark.parametrize(
    "line",
    [
        "no json",
        "[]",
        "{}",
        '{"id": "a", "image": "b", "size": [1], "turns": []}',
        '{"id": 1, "image": "b", "size": [1, 1], "turns": []}',
        '{"id": "a", "image": "b", "size": [true, 1], "turns": []}',
        '{"id": "a", "image": "b", "size": [1, 1], "turns": [{"question": "q", "point": null, '
        '"segments": [{"kind": "song"}]}]}',
    ],
)
def test_a_line_that_is_no_record_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text("\n" + line)
    with pytest.raises(SourceError, match=r"bad\.jsonl:2"):
        list(read_jsonl(path))


WORDS = st.text(st.characters(codec="utf-8"), max_size=30)
SEGMENTS = st.lists(
    st.one_of(
        st.builds(Words, WORDS),
        st.builds(Entity, WORDS, st.just(MASK)),
        st.builds(SearchCall, st.sampled_from(("text", "region", "image")), WORDS),
        st.builds(Information, WORDS, st.just(("id",))),
    ),
    max_size=6,
)


@given(SEGMENTS)
def test_whatever_passes_the_validator_obeys_the_grammar(segments: list[Segment]) -> None:
    made = record(*segments)
    assert from_json(json.loads(json.dumps(as_json(made)))) == made
    if not problems(made):
        parse(sequence_of(segments))
