"""What words tell: endings, wake phrases, agreement, word errors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.listening.wording import LocalAgreement, after_wake_phrase, ending


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("What is this?", "finished"),
        ("What is that?", "finished"),
        ("Where is it from?", "finished"),
        ("Tell me about the machine.", "finished"),
        ("What is this and", "unfinished"),
        ("What is this, um...", "unfinished"),
        ("Who makes the?", "unfinished"),
        ("Tell me about.", "unfinished"),
        ("Is it the red one, or", "unfinished"),
        ("What is", "unfinished"),
        ("Which country does coffee come from", "unknown"),
        ("coffee", "unknown"),
        ("Coffee.", "unknown"),
        ("", "unknown"),
        ("...", "unknown"),
    ],
)
def test_endings(text: str, hint: str) -> None:
    assert ending(text) == hint


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("Hey Foveal, what is this?", "what is this?"),
        ("hey fovial what is this?", "what is this?"),
        ("Um, hey for veal. What is this?", "What is this?"),
        ("Hey Foveal.", ""),
        ("What is this?", None),
        ("Hey Siri, what is this?", None),
        ("", None),
        ("What did he say to you, hey Foveal?", None),  # too late to be a call
    ],
)
def test_wake_phrase(text: str, rest: str | None) -> None:
    assert after_wake_phrase(text, "Hey Foveal") == rest


def test_two_hypotheses_that_agree_are_stable() -> None:
    agreement = LocalAgreement()
    stable = []
    for text in ("What is", "What is this on", "What is this in the", "What is this on the table?"):
        agreement = agreement.step(text)
        stable.append(agreement.text)
    assert stable == ["", "What is", "What is this", "What is this"]
    assert agreement.step("What is this on the table?").text == "What is this on the table?"


@given(st.lists(st.lists(st.sampled_from("abc"), max_size=6).map(" ".join), max_size=8))
def test_stable_words_are_never_fewer(hypotheses: list[str]) -> None:
    agreement = LocalAgreement()
    for text in hypotheses:
        before = agreement.stable
        agreement = agreement.step(text)
        assert len(agreement.stable) >= len(before)
