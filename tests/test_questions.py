"""No question that a benchmark asks stands in anything that the product is made of."""

import re

import pytest
import yaml

from benchmarks.questions import FOLDER, read_questions
from reasoning.data.wordings import WORDINGS
from reasoning.rules.intents import read_examples
from tests.test_layout import PACKAGES, ROOT

SAME = {"this": "it", "that": "it", "these": "it", "those": "it", "they": "it", "what's": "what is"}
WORDS, ENDS = r"\w+(?:['’-]\w+)*", "?.!\"'”\n"
WORDS_AND_ENDS = rf"{WORDS}|[{{}}{ENDS}]"
SMALL = frozenset(["a", "an", "the", "my", "your", "his", "her", "any", "some"])


def asked() -> set[str]:
    """Every question of every file, those before a follow-up as well."""
    files = [read_questions(path) for path in sorted(FOLDER.glob("*.yaml"))]
    return {text for file in files for one in file for text in (one.question, *one.after)}


def flat(text: str) -> str:
    """Lower-case words and sentence ends, a space between any two."""
    return f" {' '.join(re.findall(WORDS_AND_ENDS, text.lower()))} . "


def stands_in(question: str, flattened: str) -> bool:
    """Whether a text holds a question, with nothing after it in its sentence."""
    words = " ".join(re.findall(WORDS, question.lower()))
    found = f" {words} " in flattened
    return found and any(f" {words} {end} " in flattened for end in ENDS)


def meant(question: str) -> str:
    """A question without small words, whatever it points with."""
    words = re.findall(WORDS, question.lower())
    return " ".join(SAME.get(word, word) for word in words if word not in SMALL)


def test_a_question_is_recognised_in_a_text() -> None:
    assert stands_in("What is this?", flat('ASK = "what is  this?"'))
    assert stands_in("Good evening!", flat("- Good evening\n- Hi"))
    assert not stands_in("What is this?", flat("What is this on the table?"))
    assert not stands_in("What does it eat?", flat('"What does {it} eat?"'))
    assert meant("What is this used for?") == meant("What is it used for?")


@pytest.mark.parametrize("package", PACKAGES)
def test_no_question_of_a_benchmark_stands_in_the_product(package: str) -> None:
    questions = asked()
    assert len(questions) > 200
    files = [path for end in ("py", "yaml") for path in (ROOT / package).rglob(f"*.{end}")]
    for path in files:
        text = flat(path.read_text(encoding="utf-8"))
        found = [question for question in questions if stands_in(question, text)]
        assert not found, f"{path.relative_to(ROOT)} holds {found}"


def test_no_example_asks_the_same_in_other_small_words() -> None:
    known = {meant(question) for question in asked()}
    wordings = yaml.safe_load(WORDINGS.read_text(encoding="utf-8"))
    facts = wordings.pop("facts")
    lines = [line for lines in wordings.values() for line in lines if "{" not in line]
    lines += [text for text, _ in read_examples()]
    assert len(lines) > 300 and facts
    assert not [line for line in lines if meant(line) in known]
