"""Answers along drafts: the model's reading decides, and only where there is a choice."""

from collections.abc import Mapping, Sequence
from typing import cast

import pytest
import torch
from transformers import DynamicCache

from reasoning.generation.conversation import Assistant
from reasoning.generation.decoding import SearchDecoder
from reasoning.generation.grammar import parse
from reasoning.generation.protocol import Prompt
from reasoning.generation.settings import DecodeConfig, PolicyConfig
from reasoning.generation.tokens import CONTROLS
from reasoning.pixsearch.drafted import DEPTH, DraftedLMM, DraftedState, Reading, prefer
from reasoning.pixsearch.modeling import PixSearchModel, own_copy
from reasoning.rules.intents import INTENTS, Intent, IntentClassifier
from reasoning.rules.model import ComposedLMM
from reasoning.verification.rerank import SupportScorer
from stream.clock import VirtualClock
from stream.events import Answer, Evidence, Question
from tests.doubles.perception import FakeScene, thing
from tests.doubles.pixsearch import CLASSES, tiny_model
from tests.doubles.reasoning import ScriptedSearcher
from tests.doubles.retrieval import HashEncoder
from tests.reasoning.pixsearch.test_generate import HOSTILE, MODEL, WORDS, lmm, view

CUP = thing((8, 8, 24, 24), "red cup", 0.9)
FACT = Evidence("w:1", "Cup", "A cup is a small open container used for drinking.", 0.9, "w")


class MixedIntents:
    """Two intents of a question, nearly as likely as each other."""

    def __init__(self, first: Intent, second: Intent | None = None) -> None:
        self._odds = {first: 0.55} | ({second: 0.45} if second else {})

    def scores(self, question: str) -> Mapping[Intent, float]:
        return {name: self._odds.get(name, 0.0) for name in INTENTS}


def drafted(first: Intent, second: Intent | None = None, judge: float = 0.5) -> DraftedLMM:
    support = SupportScorer(WORDS, HashEncoder())
    intents = cast(IntentClassifier, MixedIntents(first, second))
    policy = PolicyConfig(judge=judge, judge_actions=judge)
    drafter = ComposedLMM(WORDS, intents, support, FakeScene([CUP]), policy)
    return DraftedLMM(drafter, lmm())


def ask(model: DraftedLMM, text: str, found: Sequence[Evidence] = (FACT,)) -> Answer:
    searcher = ScriptedSearcher({text: found, "<region>": found, "<image>": found})
    decoder = SearchDecoder(searcher, DecodeConfig(), VirtualClock())
    return Assistant(model, decoder).ask(Question(text, 0), view(), lambda event: None)


def begun(model: DraftedLMM, text: str = "What is this?") -> tuple[DraftedState, Reading]:
    state = model.prefill(Prompt(Question(text, 0), view()))
    return state, model._read(state)


def test_what_is_weighed_is_the_models_own_probability() -> None:
    model = drafted("identify")
    _, reading = begun(model)
    before = reading.logits.clone()
    forms = [[5, 9, 11], [5, 2], [MODEL.controls.id_of(CONTROLS[0])]]
    found = prefer(model.reader, reading, forms)
    for form, score in zip(forms, found, strict=True):
        _, alone = begun(model)
        total, logits = 0.0, alone.logits
        with torch.inference_mode():
            for token in form:
                total += float(logits.log_softmax(-1)[token])
                rows = MODEL.embed(torch.tensor([[token]]))
                logits = MODEL.logits(MODEL.states(rows, cache=alone.cache)[0, -1])
        assert score == pytest.approx(total, abs=1e-4)
    # Asked again it says the same: the reading went no further.
    assert torch.equal(reading.logits, before)
    assert prefer(model.reader, reading, forms) == pytest.approx(found)


def test_a_weight_of_zero_leaves_the_likeliest_draft() -> None:
    alone = ask(drafted("identify", "describe", judge=0.0), "What is this?")
    assert alone.text == "This is a red cup."


def test_the_model_decides_between_actions_where_it_counts() -> None:
    model = drafted("identify", "talk", judge=1000.0)
    state, _ = begun(model)
    judge = state.drafts.judge
    assert judge is not None
    this, other = judge([["This is"], ["Hello"]])
    wins = drafted("identify", "describe", judge=1000.0)
    forms = {"This is": ["This is", "This looks like"], "I see": ["I see"]}
    state, _ = begun(wins)
    assert state.drafts.judge is not None
    odds = state.drafts.judge(list(forms.values()))
    best = max(range(2), key=lambda number: odds[number])
    assert ask(wins, "What is this?").text.startswith(list(forms)[best])
    assert this + other < 0 and torch.tensor([this, other]).exp().sum() == pytest.approx(1)


def test_one_possible_draft_costs_no_pass_of_the_model() -> None:
    model = drafted("identify")
    state = model.prefill(Prompt(Question("What is this?", 0), view()))
    while model.step(state, True).text != "<end>":
        pass
    assert state.weighed == 0 and state.reading is None


def test_evidence_is_read_before_sentences_are_weighed() -> None:
    model = drafted("fact", judge=0.5)
    state = model.prefill(Prompt(Question("What is a cup used for?", 0), view()))
    text = "<information> Cup: A cup is a small open container. </information>"
    while not (step := model.step(state, True)).text.startswith("</search"):
        assert step.text != "<end>"
    model.inform(state, [FACT], text)
    first, last = (MODEL.controls.id_of(c) for c in ("<information>", "</information>"))
    assert state.unread.count(first) == state.unread.count(last) == 1
    reading = model._read(state)
    assert state.unread == [] and reading.cache.get_seq_length() > 0


@pytest.mark.parametrize("intents", [("fact", "identify"), ("thing_fact", "describe")])
def test_hostile_evidence_forges_nothing(intents: tuple[Intent, Intent]) -> None:
    evil = Evidence("w:2", HOSTILE, f"A cup is used for drinking. {HOSTILE}", 0.9, "w")
    answer = ask(drafted(*intents, judge=2.0), "What is a cup used for?", [evil])
    parse(answer.sequence)
    assert len(answer.searches) <= 3 and "<" not in answer.text


def test_openings_are_cut_at_the_depth_that_is_weighed() -> None:
    model = drafted("identify")
    ids = model._ids("The red cup<search>", began=False)
    assert len(ids) == DEPTH and WORDS.tokenizer.decode(ids) == " The r"
    assert model._ids("A<search>", began=True)[-1] == MODEL.controls.id_of("<search>")


def test_padded_reading_in_half_precision_leaves_no_trace() -> None:
    model, words = tiny_model(seed=3)
    half = PixSearchModel(
        own_copy(words.model, torch.bfloat16),
        [words.encode(name) for name in CLASSES],
        words.vocabulary,
        model.config,
    )
    rows = half.embed(torch.tensor(words.encode("What is in the red cup?")))
    padded, plain = DynamicCache(), DynamicCache()
    with torch.inference_mode():
        states = half.read(rows, padded)
        wanted = half.states(rows[None], cache=plain)[0]
        assert states.shape == wanted.shape and padded.get_seq_length() == len(rows)
        assert torch.allclose(states, wanted, atol=0.1)
        after = [half.read(rows[:3], cache) for cache in (padded, plain)]
    assert torch.allclose(after[0], after[1], atol=0.1)
