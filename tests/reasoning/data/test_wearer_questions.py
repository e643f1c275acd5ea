"""Wordings, questions drawn with them, and answers taken apart into segments."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reasoning.data.annotator import AnnotatedPicture, NamedMask
from reasoning.data.records import Entity, Information, SearchCall, Words, sequence_of
from reasoning.data.trajectory import segments_of
from reasoning.data.wearer_questions import Wearer, WearerQuestion
from reasoning.data.wordings import excluded, fold, read_wordings
from retrieval.sources.entries import Entry
from stream.events import Answer, Evidence, Question, Region, SearchRecord, Span
from stream.geometry import Rle, decode_mask, encode_mask
from tests.doubles.perception import thing

BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks" / "data"
SIZE = (40, 60)
BOX = np.zeros(SIZE, bool)
BOX[5:30, 10:40] = True
MASK = encode_mask(BOX)
ZEBRA = Entry(
    "wiki:Zebra",
    "Zebra",
    "African equines",
    (
        "Zebras are African equines with striped coats.",
        "Zebras inhabit eastern and southern Africa.",
        "Its relative, the okapi, weighs 250 kg and lives in forests.",
    ),
)
PICTURE = AnnotatedPicture("p.jpg", SIZE, (NamedMask("zebra", MASK),))


def drawn(without: frozenset[str] = frozenset(), count: int = 300) -> list[WearerQuestion]:
    random = np.random.default_rng(3)
    absent = ("zebra", "cup", "car")
    wearer = Wearer(read_wordings(), {"zebra": ZEBRA}, [ZEBRA], absent, random, without)
    return list(wearer.questions(PICTURE, count))


def test_questions_of_every_kind_are_drawn_and_points_hit_their_thing() -> None:
    asked = drawn()
    kinds = {one.kind for one in asked}
    assert kinds == {
        "fact", "untold", "name", "where", "present", "absent", "list", "colour", "state",
        "personal", "talk", "world", "count",
    }  # fmt: skip
    for one in asked:
        sample = one.sample
        assert "{" not in sample.question and sample.question[0].isupper()
        if sample.point is not None:
            assert BOX[sample.point[1], sample.point[0]]
        if one.kind == "absent":
            assert "zebra" not in sample.question
    follows = [one.follows for one in asked if one.follows]
    assert follows and all(one.sample.point is None for one in follows)


def test_a_fact_is_asked_of_the_sentence_that_tells_it() -> None:
    facts = [one.fact for one in drawn() if one.kind == "fact"]
    assert facts
    for fact in facts:
        assert fact is not None and fact.title == "Zebra"
        assert fact.sentence == ZEBRA.passages[1]  # the okapi's weight is not the zebra's
    untold = [one.sample.question.lower() for one in drawn() if one.kind == "untold"]
    assert untold and not any("live" in question.split() for question in untold)


def test_questions_of_benchmarks_are_never_asked(tmp_path: Path) -> None:
    path = tmp_path / "b.yaml"
    path.write_text(
        "thing:\n"
        '  - {view: a/p.jpg, question: "What might this be?", after: ["What would that be?"]}\n'
    )
    questions, views = excluded([path])
    assert questions == {"what might this be", "what would that be"} and views == {"p"}
    free, held = drawn(), drawn(questions)
    assert any(fold(one.sample.question) in questions for one in free)
    assert not any(fold(one.sample.question) in questions for one in held)
    own, _ = excluded(sorted(BENCHMARKS.glob("*.yaml")))
    assert len(own) > 200 and "who composed the magic flute" in own


def test_a_trajectory_becomes_segments() -> None:
    found = Evidence("wiki:Zebra", "Zebra", "Zebras graze.", 0.9, "wiki")
    sequence = (
        "The zebra<search><region></search><information> Zebra: Zebras graze. </information>: "
        "zebras graze. (Source: Zebra.)"
    )
    text = "The zebra: zebras graze. (Source: Zebra.)"
    box = thing((10, 5, 40, 30), "zebra", 0.9).box
    span = Span(4, 9, Region(0, 0, MASK, box, 0.9))
    searches = (SearchRecord("region", "<region>", (found,)),)
    answer = Answer(Question("What?", 0), text, sequence, (span,), searches, {}, "test")
    segments = segments_of(answer)
    assert segments == (
        Words("The"),
        Entity(" zebra", MASK),
        SearchCall("region", "<region>"),
        Information("Zebra: Zebras graze.", ("wiki:Zebra",)),
        Words(": zebras graze. (Source: Zebra.)"),
    )
    assert sequence_of(segments) == sequence
    other = Rle((1, 1), (0, 1))
    replaced = [s for s in segments_of(answer, lambda _: other) if isinstance(s, Entity)]
    assert replaced == [Entity(" zebra", other)] and decode_mask(MASK).any()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["cat", "a dog", "is", "here", "two cups"]), min_size=1), st.data())
def test_segments_of_words_and_entities_join_to_the_text(
    parts: list[str], data: st.DataObject
) -> None:
    text = " ".join(parts)
    spans, place = [], 0
    for part in parts:
        if data.draw(st.booleans()):
            spans.append(Span(place, place + len(part), Region(0, 0, MASK, (0, 0, 1, 1), 1.0)))
        place += len(part) + 1
    lead = data.draw(st.sampled_from(["", " "]))
    answer = Answer(Question("What?", 0), text, lead + text, tuple(spans), (), {}, "test")
    segments = segments_of(answer)
    assert sequence_of(segments) == lead + text
    entities = [s.text.strip() for s in segments if isinstance(s, Entity)]
    assert entities == [text[span.start : span.end] for span in spans]


@pytest.mark.parametrize("name", ["identify", "where", "present", "count", "list", "talk"])
def test_wordings_are_many(name: str) -> None:
    wordings = read_wordings()
    assert len(wordings.others[name]) >= 4
    assert len(wordings.facts) > 50
