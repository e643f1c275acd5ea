"""What kind of answer a question wants, and which sentences hold one."""

import pytest

from reasoning.verification.answer_types import AnswerType, answer_type, fits_type


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("Who painted the Mona Lisa?", "who"),
        ("By whom was it built?", "who"),
        ("Whose idea was it?", "who"),
        ("When was it invented?", "when"),
        ("In which year did it open?", "when"),
        ("What year was that?", "when"),
        ("Where was this first made?", "where"),
        ("In what country is it grown?", "where"),
        ("How many legs does a spider have?", "number"),
        ("How tall is it?", "length"),
        ("How long do elephants live?", "duration"),
        ("What is the population of France?", "number"),
        ("What is coffee made from?", "any"),
        ("Why is the sky blue?", "any"),
        ("Whole wheat?", "any"),
        ("", "any"),
    ],
)
def test_answer_type(question: str, kind: AnswerType) -> None:
    assert answer_type(question) == kind


@pytest.mark.parametrize(
    ("sentence", "kind", "fits"),
    [
        ("It was painted by Leonardo da Vinci.", "who", True),
        ("It was painted long ago.", "who", False),
        ("It opened in 1889.", "when", True),
        ("It dates from the 15th century.", "when", True),
        ("It is a drink.", "when", False),
        ("It comes from Ethiopia.", "where", True),
        ("It is grown in what is now southern Yemen.", "where", True),
        ("It comes from beans.", "where", False),
        ("It has eight legs.", "number", True),
        ("It is 330 metres tall.", "number", True),
        ("It is tall.", "number", False),
        ("Anything.", "any", True),
    ],
)
def test_fits_type(sentence: str, kind: AnswerType, fits: bool) -> None:
    assert fits_type(sentence, kind) is fits


@pytest.mark.parametrize(
    ("question", "fitting", "other"),
    [
        ("How heavy is an elephant?", "It weighs up to 6,000 kg.", "It is 3 m tall."),
        ("How fast can it run?", "It runs at 93 km/h.", "It has 4 legs."),
        ("How hot is the Sun?", "Its surface has 5,772 K.", "It has 8 planets."),
        ("Where is it?", "It lies in Tanzania.", "It is smaller than the deserts of Antarctica."),
        ("Where is it?", "It is the capital of Kenya.", "It is the largest of Kings."),
    ],
)
def test_measures_and_places_are_told_apart(question: str, fitting: str, other: str) -> None:
    kind = answer_type(question)
    assert fits_type(fitting, kind) and not fits_type(other, kind)
