"""How evidence is said aloud."""

from dataclasses import replace

import pytest

from reasoning.rules.evidence_wording import quoted, said
from reasoning.verification.rerank import Support
from reasoning.verification.yes_no import yes_or_no
from stream.events import Evidence


def told(title: str, sentence: str) -> Support:
    return Support(
        Evidence("w:1", title, f"The {title.lower()} is. {sentence}", 0.9, "w"), sentence, 1
    )


@pytest.mark.parametrize(
    ("title", "sentence", "question", "lead", "answer"),
    [
        (
            "Cat",
            "It is a carnivore.",
            "What does it eat?",
            "cat",
            " is a carnivore. (Source: Cat.)",
        ),
        (
            "Cat",
            "It is a carnivore.",
            "What does it eat?",
            "",
            "The cat is a carnivore. (Source: Cat.)",
        ),
        ("Cat", "The cat, a pet, hunts.", "What is it?", "cat", ", a pet, hunts. (Source: Cat.)"),
        ("Cat", "They sleep a lot.", "How long?", "cat", ": they sleep a lot. (Source: Cat.)"),
        (
            "Cat",
            "The cat is a mammal.",
            "Are cats mammals?",
            "",
            "Yes: the cat is a mammal. (Source: Cat.)",
        ),
        (
            "Berry",
            "It is not a berry.",
            "Is it a berry?",
            "strawberry",
            " is not a berry. (Source: Berry.)",
        ),
        (
            "Kiwi",
            "It cannot fly.",
            "Can a kiwi fly?",
            "",
            "No: the kiwi cannot fly. (Source: Kiwi.)",
        ),
        ("Kiwi", "It cannot fly.", "Can it fly?", "kiwi", ": no: it cannot fly. (Source: Kiwi.)"),
    ],
)
def test_quoted(title: str, sentence: str, question: str, lead: str, answer: str) -> None:
    assert quoted(told(title, sentence), question, lead) == answer


def test_a_verb_before_keeps_the_pronoun() -> None:
    support = told("Cat", "It is a carnivore.")
    assert quoted(support, "?", "thing", joined=False).startswith(": it is a carnivore.")


@pytest.mark.parametrize(
    ("sentence", "short"),
    [
        ("It is 330 m (1,083 ft) tall.", "It is 330 m tall."),
        ("An area of 105.4 km2 (40.7 sq mi).", "An area of 105.4 km2."),
        ("Tokyo (東京) is large.", "Tokyo is large."),
        ("The cat (Felis catus) is small.", "The cat (Felis catus) is small."),
        ("It ended (1945).", "It ended (1945)."),
    ],
)
def test_what_is_said_of_brackets(sentence: str, short: str) -> None:
    assert said(sentence) == short


@pytest.mark.parametrize(
    ("question", "sentence", "answer"),
    [
        ("Can penguins fly?", "Penguins cannot fly.", False),
        ("Can penguins fly?", "Penguins live in the south.", None),
        ("Can penguins swim?", "Penguins are swimming birds.", True),
        ("Is it a fruit or a root?", "It is a root and a fruit.", None),
        ("What does it eat?", "It eats fish.", None),
    ],
)
def test_yes_or_no(question: str, sentence: str, answer: bool | None) -> None:
    assert yes_or_no(question, sentence, "Penguin") is answer


def test_a_sentence_that_names_nobody_gets_a_name() -> None:
    support = told("Blue whale", "At 30 m, it is the largest animal.")
    assert quoted(support, "Which is the largest?").startswith("Blue whale: At 30 m, it is")


def test_what_one_unvetted_page_tells_is_its_word() -> None:
    page = replace(told("Cat", "Cats are not mammals.").evidence, tier="unvetted")
    support = Support(page, "Cats are not mammals.", 1)
    words = "One page says: “Cats are not mammals.” (Source: Cat.)"
    assert quoted(support, "Are cats mammals?") == words
    assert quoted(support, "Are cats mammals?", "cat") == f": o{words[1:]}"
    agreed = replace(support, evidence=replace(page, agreed=("other.example",)))
    assert quoted(agreed, "Are cats mammals?").startswith("No: ")
