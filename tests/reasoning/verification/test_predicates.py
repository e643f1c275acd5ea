"""What a sentence must say: the act, the purpose, the matter, the number, the first of its kind."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasoning.verification.predicates import asks_fact, says
from reasoning.verification.yes_no import yes_or_no


@pytest.mark.parametrize(
    ("question", "telling", "other"),
    [
        (
            "Who invented the light bulb?",
            "It was invented by Joseph Swan.",
            "A light bulb gives light by Joule heating a filament.",
        ),
        (
            "When was Napoleon born?",
            "Napoleon, French general, lived from 1769 to 1821.",
            "Napoleon was Emperor of the French from 1804 to 1814.",
        ),
        ("When did the war end?", "The war (1939–1945) was long.", "In 1942 a battle was won."),
        ("Where was Mozart born?", "He was born in Salzburg.", "He was in Vienna in 1791."),
        ("What is salt used for?", "Salt is used in food.", "Salt is a mineral of sodium."),
        ("What is glass made of?", "Glass is made of sand.", "Things made of glass are hard."),
        ("Why is blood red?", "It is red because of iron.", "Red cells take up oxygen."),
        ("How many strings does a cello have?", "It has four strings.", "It is 121 cm long."),
        (
            "How many people live in Kenya?",
            "Its population was over 50 million in 2023.",
            "Kenya has 47 counties.",
        ),
        (
            "What is the largest ocean?",
            "It is the largest ocean.",
            "It is the second-largest ocean.",
        ),
        ("What is the largest ocean?", "It is Earth's largest ocean.", "It is one of the largest."),
        (
            "What is the longest river in the world?",
            "The Nile is the longest river in the world.",
            "The Volga is the longest river in Europe.",
        ),
        (
            "What is the longest river in Europe?",
            "The Volga is the longest river in Europe.",
            "The Congo is the longest river in Africa.",
        ),
        (
            "How does a fan work?",
            "A fan is a machine that moves air.",
            "Fans may also write fiction.",
        ),
        ("Who wrote Faust?", "It is by Johann Goethe.", "The play is set in Leipzig."),
        ("What is the tallest tower?", "It is the highest tower.", "It is a tall tower."),
    ],
)
def test_says(question: str, telling: str, other: str) -> None:
    assert says(question, telling) and not says(question, other)


@pytest.mark.parametrize("question", ["What do cats eat?", "What is tea?", "Is it open?", ""])
def test_other_questions_ask_for_no_certain_words(question: str) -> None:
    assert says(question, "Cats are small.")


@pytest.mark.parametrize(
    ("question", "fact"),
    [
        ("What is this rope made from?", True),
        ("What is this used for?", True),
        ("Why is this red?", True),
        ("What is this?", False),
        ("What kind of fruit is that?", False),
    ],
)
def test_a_fact_of_a_thing_is_not_its_name(question: str, fact: bool) -> None:
    assert asks_fact(question) is fact


@pytest.mark.parametrize(
    ("question", "title", "sentence", "answer"),
    [
        ("Can penguins fly?", "Penguin", "Penguins are flightless birds.", False),
        ("Do herons hunt?", "Heron", "Herons are birds of prey.", True),
        ("Are whales fish?", "Whale shark", "The whale shark is a fish.", None),
        ("Are whales fish?", "Whale", "Whales are mammals that eat fish.", None),
        ("Are whales fish?", "Whale", "Whales are not fish.", False),
        ("Is gold a metal?", "Gold", "It is a dense, soft metal that does not rust.", True),
        ("Is Pluto a planet?", "Pluto", "Pluto is a dwarf planet.", None),
        ("Is Pluto a planet?", "Pluto", "Pluto is smaller than the planets.", None),
        ("Is Pluto a planet?", "Pluto", "Pluto is made of ice and orbits a planet.", None),
        ("Is the ostrich a bird?", "Common ostrich", "It is a species of flightless bird.", True),
        ("Is the Louvre in Paris?", "Louvre", "The Louvre is a museum in Paris, France.", True),
    ],
)
def test_yes_or_no_of_an_entry(
    question: str, title: str, sentence: str, answer: bool | None
) -> None:
    assert yes_or_no(question, sentence, title) is answer


@given(st.text(max_size=80), st.text(max_size=80), st.text(max_size=20))
def test_any_text_survives(question: str, sentence: str, title: str) -> None:
    assert says(question, sentence) in (True, False)
    assert yes_or_no(question, sentence, title) in (True, False, None)
