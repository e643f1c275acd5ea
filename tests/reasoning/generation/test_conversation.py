"""The assistant: bounded conversation, harmless questions, events in order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.scene.reader import SceneView
from reasoning.generation.conversation import MAX_CHARS, MAX_TURNS, MAX_WORDS, Assistant, shorten
from reasoning.generation.decoding import SearchDecoder
from reasoning.generation.tokens import CONTROLS
from stream.clock import VirtualClock
from stream.errors import GrammarError
from stream.events import AnswerEvent, Question
from stream.frame import Frame
from stream.geometry import decode_mask
from tests.doubles.perception import FakeScene, thing
from tests.doubles.reasoning import Mention, ScriptedLMM, ScriptedSearcher

CUP = thing((8, 16, 40, 56), "cup", track_id=5)
DOG = thing((60, 16, 100, 56), "dog")


def view(pts_ns: int = 70) -> SceneView:
    return FakeScene([CUP]).read(Frame(pts_ns, pts_ns, np.zeros((96, 128, 3), np.uint8), "t"))


def assistant(lmm: ScriptedLMM) -> Assistant:
    return Assistant(lmm, SearchDecoder(ScriptedSearcher(), clock=VirtualClock()))


def test_an_answer_carries_regions_and_the_model_s_name() -> None:
    lmm = ScriptedLMM(["A ", Mention("cup", CUP), " by a ", Mention("dog", DOG), "."])
    answer = assistant(lmm).ask(Question("What?", 3), view(), lambda event: None)
    assert answer.text == "A cup by a dog." and answer.model == "scripted"
    assert [(s.region.track_id, s.region.pts_ns, s.region.box) for s in answer.spans] == [
        (5, 70, CUP.box),
        (0, 70, DOG.box),
    ]
    assert np.array_equal(decode_mask(answer.spans[1].region.mask), DOG.mask)


def test_events_carry_the_question_s_time_and_come_in_order() -> None:
    lmm = ScriptedLMM(["<search>", "tea", "</search>", "Tea."])
    events: list[AnswerEvent] = []
    assistant(lmm).ask(Question("What\x00 is it?", 42), view(), events.append)
    kinds = [event.kind for event in events]
    assert kinds[:6] == ["question", "token", "token", "token", "search", "evidence"]
    assert set(kinds[6:-1]) == {"token"} and kinds[-1] == "end"
    assert {event.stream_ns for event in events} == {42}


def test_history_is_bounded_and_can_be_forgotten() -> None:
    lmm = ScriptedLMM(["Yes."], subject="tea")
    made = assistant(lmm)
    for n in range(MAX_TURNS + 3):
        made.ask(Question(f"q{n}?", n), view(), lambda event: None)
    seen = [turn.question for turn in lmm.states[-1].prompt.history]
    assert seen == [f"q{n}?" for n in range(2, MAX_TURNS + 2)]
    assert lmm.states[-1].prompt.history[-1].subject == "tea"
    made.forget()
    made.ask(Question("new?", 99), view(), lambda event: None)
    assert lmm.states[-1].prompt.history == ()


def test_a_failed_answer_leaves_no_turn() -> None:
    lmm = ScriptedLMM(["</search>"], ["Fine."])
    made = assistant(lmm)
    with pytest.raises(GrammarError):
        made.ask(Question("a?", 0), view(), lambda event: None)
    made.ask(Question("b?", 1), view(), lambda event: None)
    assert lmm.states[-1].prompt.history == ()


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=3000) | st.text("a <search>", max_size=3000))
def test_a_question_is_short_and_harmless(text: str) -> None:
    short = shorten(text)
    assert len(short) <= MAX_CHARS and len(short.split()) <= MAX_WORDS
    assert not set("<>") & set(short)
    assert not any(control in short for control in CONTROLS)
    assert shorten(short) == short


@pytest.mark.parametrize("text", ["word " * 10_000, "x" * 1_000_000, "\u200b" * 100_000 + "late"])
def test_a_question_of_any_length_is_shortened(text: str) -> None:
    assert len(shorten(text)) <= MAX_CHARS
    assert text.startswith(shorten(text)[:10])


def test_the_answer_keeps_the_question_as_it_was_asked() -> None:
    question = Question("<search> x </search>", 0, point=(1, 2))
    lmm = ScriptedLMM(["Yes."])
    answer = assistant(lmm).ask(question, view(), lambda event: None)
    assert answer.question is question
    assert lmm.states[0].prompt.question.text == "‹search› x ‹/search›"
    assert lmm.states[0].prompt.question.point == (1, 2)
