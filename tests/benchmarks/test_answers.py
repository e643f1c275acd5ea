"""The question benchmark: its grading, and that its questions give nothing away."""

import re
from pathlib import Path

import pytest

from benchmarks.answers import (
    EVERYDAY,
    EVERYDAY_TUNING,
    GENERAL,
    KINDS,
    Asked,
    Outcome,
    grade,
    present,
    read_questions,
    summary,
)
from reasoning.rules.intents import read_examples
from stream.errors import ConfigError

FACT = Asked("fact", "coffee", "What is the capital of Kenya?", ("Nairobi",))
PERSONAL = Asked("unanswerable", "coffee", "What did I eat yesterday?")


@pytest.mark.parametrize(
    ("asked", "text", "expected"),
    [
        (FACT, "Its capital is Nairobi. (Source: Kenya.)", "right"),
        (FACT, "its capital is NAIROBI.", "right"),
        (FACT, "Kenya lies in Africa. (Source: Nairobi.)", "hallucination"),  # cited, not said
        (FACT, "Mombasa is a city in Kenya.", "hallucination"),
        (FACT, "I don't know. I looked under Nairobi, which does not say.", "miss"),
        (FACT, "I can't make out any words in view.", "miss"),
        (PERSONAL, "I don't know: neither what I see nor what I can look up tells that.", "right"),
        (PERSONAL, "I can't make out any words in view.", "hallucination"),
        (PERSONAL, "This is an espresso.", "hallucination"),
    ],
)
def test_grade(asked: Asked, text: str, expected: str) -> None:
    assert grade(asked, text) == expected


def test_an_accepted_word_is_matched_from_its_start() -> None:
    gold = Asked("fact", "coffee", "What is gold's symbol?", ("Au",))
    assert grade(gold, "Its chemical symbol is Au.") == "right"
    assert grade(gold, "Its chemical symbol is Lau.") == "hallucination"


def test_summary_adds_up() -> None:
    outcomes = [
        Outcome("fact", "right", ("region", "text"), 100.0),
        Outcome("fact", "hallucination", ("text",), 300.0),
        Outcome("visual", "miss", (), 200.0),
        Outcome("unanswerable", "right", (), 200.0),
    ]
    row = summary(outcomes)
    assert row["accuracy"] + row["hallucination"] + row["miss"] == 1.0
    assert row["truthfulness"] == 0.25 and row["search_ratio"] == 0.5 and row["p50_ms"] == 200.0
    assert row["searches"] == 0.75
    assert summary([]) == {}


def test_no_question_holds_its_answer() -> None:
    asked = read_questions()
    assert {one.kind for one in asked} == set(KINDS) - {"thing"} and len(asked) >= 40
    assert len({one.question for one in asked}) == len(asked)
    for one in asked:
        for word in one.accept:
            assert not re.search(rf"\b{re.escape(word)}", one.question, re.IGNORECASE), one
        assert bool(one.accept) == (one.kind != "unanswerable")


def test_general_questions_are_new_to_the_intent_classifier() -> None:
    known = {text.lower() for text, _ in read_examples()}
    asked = read_questions(GENERAL)
    assert len(asked) >= 40 and any(one.after for one in asked)
    for one in asked:
        assert one.question.lower() not in known, one
        said = " ".join((one.question, *one.after))
        for word in one.accept:
            assert not re.search(rf"\b{re.escape(word)}", said, re.IGNORECASE), one


def test_the_everyday_halves_share_nothing() -> None:
    halves = [read_questions(path) for path in (EVERYDAY, EVERYDAY_TUNING)]
    known = {text.lower() for text, _ in read_examples()}
    views = [{one.view for one in half if Path(one.view).suffix} for half in halves]
    assert not views[0] & views[1] and min(map(len, halves)) >= 20
    assert len({one.question for half in halves for one in half}) == sum(map(len, halves))
    assert not known & {one.question.lower() for one in halves[0]}


def test_questions_without_their_photograph_are_left_out(tmp_path: Path) -> None:
    asked = read_questions(EVERYDAY)
    left = present(asked, tmp_path)
    assert left and len(left) < len(asked) and not any(Path(one.view).suffix for one in left)


def test_an_answerable_question_needs_accepted_words(tmp_path: Path) -> None:
    path = tmp_path / "questions.yaml"
    path.write_text('fact: [{view: coffee, question: "Why?"}]')
    with pytest.raises(ConfigError, match="Why"):
        read_questions(path)
