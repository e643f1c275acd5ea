"""Grading: whole words, numbers as numbers, refusals; and the intervals of shares."""

import pytest

from benchmarks.grading import Kind, Outcome, grade, holds, share, summary, wilson, words

FACT: tuple[Kind, tuple[str, ...]] = ("fact", ("Nairobi",))
PERSONAL: tuple[Kind, tuple[str, ...]] = ("unanswerable", ())


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
def test_grade(asked: tuple[Kind, tuple[str, ...]], text: str, expected: str) -> None:
    assert grade(*asked, text) == expected


@pytest.mark.parametrize(
    ("accepted", "text", "expected"),
    [
        ("no", "No, I don't see a dog.", True),
        ("no", "Nothing stands out.", False),
        ("no", "Norway is cold.", False),
        ("1", "I count 12.", False),
        ("1", "I count one: a cat.", True),
        ("5", "There are five sheep.", True),
        ("five", "There are 5.", True),
        ("5", "There are fifteen.", False),
        ("5", "It weighs 1.5 kg.", False),
        ("1000", "About 1,000 of them.", True),
        ("1,000", "About a 1000 of them.", True),
        ("500", "Five hundred of them.", True),
        ("5", "Five hundred of them.", False),
        ("21", "Twenty-one guns.", True),
        ("20", "Twenty-one guns.", False),
        ("105", "One hundred and five keys.", True),
        ("2", "It is the 2nd largest.", False),
        ("1980", "In the 1980s.", False),
        ("93", "It is 93m tall.", True),
        ("2", "It has 5 km².", False),
        ("300-800", "It weighs 300–800 kg.", True),
        ("800 kg", "It weighs 300–800 kg.", True),
        ("Au", "Its chemical symbol is Au.", True),
        ("Au", "Its chemical symbol is Lau.", False),
        ("Au", "It stands in Australia.", False),
        ("Black Sea", "It flows into the Black Sea.", True),
        ("Black Sea", "The sea is black.", False),
        ("I don't see", "I don’t see any.", True),
        ("Marquez", "Gabriel García Márquez wrote it.", True),
        ("Peru", "It is Peru's best known site.", True),
        ("Berners-Lee", "Tim Berners-Lee invented it.", True),
    ],
)
def test_accepted_words_are_whole_and_numbers_are_numbers(
    accepted: str, text: str, expected: bool
) -> None:
    assert holds(text, [accepted]) is expected


def test_no_accepted_word_holds_nothing() -> None:
    assert not holds("Anything.", []) and not holds("Anything.", ["?"])


def test_words_keep_decimals_and_drop_separators() -> None:
    assert words("1,234.5 or 12,34 of 384,400 km") == [
        "1234.5",
        "or",
        "12",
        "34",
        "of",
        "384400",
        "km",
    ]


def test_wilson_against_published_values() -> None:
    # Newcombe (1998), table I: 81 of 263, 15 of 148, 0 of 20, 29 of 29
    for hits, count, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (29, 29, 0.8830, 1.0),
    ):
        assert wilson(hits, count) == pytest.approx((low, high), abs=5e-5)
    assert wilson(0, 0) == (0.0, 1.0)
    assert share("right", 15, 20)["right"] == 0.75


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
    assert row["accuracy_low"] < 0.5 < row["accuracy_high"]
    assert summary([]) == {}
