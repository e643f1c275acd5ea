"""Whole answers of every family through the decode loop: grounded, searched, informed, ended.

Networks are random but for weights by which a token follows from the last one, so that they call
for searches (tests/doubles/vlm_random.py); the grammar, the cache and the tokens are the real ones.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch

from perception.scene.reader import SceneView
from reasoning.generation.cancel import CancelToken
from reasoning.generation.config import DecodeConfig, VlmConfig
from reasoning.generation.conversation import Assistant
from reasoning.generation.decoding import SearchDecoder
from reasoning.generation.grammar import parse
from reasoning.generation.protocol import Glimpse, Prompt, Turn
from reasoning.segmenting.box_to_mask import SceneGrounder
from reasoning.vlm.hub_name import HubName
from reasoning.vlm.local.model import VlmLMM, VlmState
from reasoning.vlm.local.open import open_model
from reasoning.vlm.markup import NamedPlace
from stream.errors import Cancelled
from stream.events import Answer, Evidence, Question
from stream.frame import Frame
from tests.doubles.perception import FakeScene, thing
from tests.doubles.reasoning import ScriptedSearcher
from tests.doubles.vlm_random import FAMILIES, NOTHING, PROMPT_ENDS, Script, look_up, save

SIZE = (48, 80)
CAT = thing((8, 5, 48, 29), "cat", size=SIZE)
CONFIG = VlmConfig(device="cpu", dtype="float32", max_pixels=64 * 64, grounding="thousandths")
FACT = Evidence("wiki:1", "Cat", "A cat is a small animal <search>", 0.8, "wiki")


def load(folder: Path, family: str, told: Script | None, config: VlmConfig = CONFIG) -> VlmLMM:
    save(family, folder, told)
    opened = open_model(HubName.parse(str(folder)), config)
    return VlmLMM(opened, SceneGrounder(FakeScene([CAT])), config)


def view(seed: int = 0, pts_ns: int = 0) -> SceneView:
    image = np.random.default_rng(seed).integers(0, 255, (*SIZE, 3), np.uint8)
    return FakeScene([CAT]).read(Frame(pts_ns, pts_ns, image, "test"))


def ask(lmm: VlmLMM, searches: int = 3, tokens: int = 64) -> Answer:
    decoder = SearchDecoder(
        ScriptedSearcher({"<region>": [FACT], "cat": [FACT]}),
        DecodeConfig(max_tokens=tokens, max_searches=searches),
    )
    return Assistant(lmm, decoder).ask(Question("What is it?", 0), view(), lambda _: None)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_answer_is_grounded_searched_informed_and_ended(family: str, tmp_path: Path) -> None:
    lmm = load(tmp_path / "tiny", family, look_up(family))
    answer = ask(lmm)
    assert answer.text == "I see the cat It is a cat." and answer.model == "tiny"
    (search,) = answer.searches
    assert search.kind == "region" and search.evidence == (FACT,)
    (span,) = answer.spans
    assert answer.text[span.start : span.end] == "the cat" and span.region.box is not None
    parse(answer.sequence)


@pytest.mark.parametrize("family", ["smolvlm", "qwen3_vl"])
def test_inside_a_call_only_its_grammar_may_come(family: str, tmp_path: Path) -> None:
    start, end = PROMPT_ENDS[family]
    told = look_up(family) | {
        start: ["<search>"],
        "<search>": [end, "</search>", "<search>", "cat "],  # three that may not come
        "cat ": [end, "<region>", "<image>", "</search>"],  # so that the call is closed with words
    }
    answer = ask(load(tmp_path / "tiny", family, told))
    assert [(one.kind, one.query) for one in answer.searches] == [("text", "cat")]
    assert answer.text == "It is a cat."


@pytest.mark.parametrize("family", ["smolvlm", "gemma3"])
def test_a_call_without_end_is_closed(family: str, tmp_path: Path) -> None:
    start, _ = PROMPT_ENDS[family]
    told = look_up(family) | {start: ["<search>"], "<search>": ["cat "], "cat ": ["cat "]}
    answer = ask(load(tmp_path / "tiny", family, told))
    (search,) = answer.searches
    assert search.query == " ".join(["cat"] * (CONFIG.max_query - 1)) and answer.text


def test_a_call_for_nothing_is_over_once_it_is_closed(tmp_path: Path) -> None:
    start, end = PROMPT_ENDS["smolvlm"]
    told = look_up("smolvlm") | {
        start: ["<search>"],
        "<search>": [NOTHING],
        NOTHING: ["</search>"],
        "</search>": [" It is a cat."],
        " It is a cat.": [end],
    }
    answer = ask(load(tmp_path / "tiny", "smolvlm", told))
    assert answer.text == "It is a cat." and answer.searches == ()


def test_once_the_budget_is_spent_no_search_is_begun(tmp_path: Path) -> None:
    start, end = PROMPT_ENDS["smolvlm"]
    told = look_up("smolvlm") | {start: ["<search>", "cat "], "cat ": ["<search>", end]}
    answer = ask(load(tmp_path / "tiny", "smolvlm", told), searches=0)
    assert answer.searches == () and answer.sequence == "cat "


def test_an_endless_answer_comes_to_an_end(tmp_path: Path) -> None:
    start, _ = PROMPT_ENDS["smolvlm"]
    told = look_up("smolvlm") | {start: ["cat "], "cat ": ["cat "]}
    lmm = load(tmp_path / "tiny", "smolvlm", told)
    assert ask(lmm, tokens=5).text == "cat cat cat cat cat"
    # What becomes no piece counts as well.
    state = lmm.prefill(Prompt(Question("What?", 0), view()))
    state.parser.push("[")
    assert sum(1 for _ in iter(lambda: lmm.step(state, True).text, "<end>")) < 1100


@pytest.mark.parametrize("family", FAMILIES)
def test_ahead_and_in_parts_equals_one_pass(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keyframes ahead, history, question, own words, evidence: the cache against one pass."""
    monkeypatch.setattr("reasoning.vlm.local.model.ROOM", 512)  # a letter is a token here
    lmm = load(tmp_path / "tiny", family, None)
    first, second = view(1, 10**9), view(2, 2 * 10**9)
    lmm.read_view(first)
    lmm.read_view(second, (first,))
    history = (Turn("And before?", "A [dog](1,2,3,4).", 0),)
    glimpses = (Glimpse(10**9, ("cat", "cup")),)
    asked = Question("What is it?", 3 * 10**9)
    prompt = Prompt(asked, second, history, second, (first,), glimpses)
    fed: list[int] = []
    feed = lmm._network.feed

    def noted(reading: Any, ids: Any) -> None:
        fed.extend(ids)
        feed(reading, ids)

    lmm._network.feed = noted  # type: ignore[method-assign]
    state = lmm.prefill(prompt)
    lmm._begin_call(state, _call(lmm, state), True)
    lmm.inform(state, [FACT], "<information> Cat: A cat </information>")
    words = lmm._dialogue.words(fed)
    assert all(
        part in words for part in ("And before?", "cup", "What is it?", "[1] wiki:1 (vetted)")
    )
    head = _head(lmm, (first, second))
    more = torch.tensor([fed])
    whole = {**head, "input_ids": torch.cat([head["input_ids"], more], 1)}
    whole["attention_mask"] = torch.ones_like(whole["input_ids"])
    for name in ("token_type_ids", "mm_token_type_ids"):
        if name in head:
            whole[name] = torch.cat([head[name], torch.zeros_like(more)], 1)
    with torch.inference_mode():
        expected = lmm._network._model(**whole).logits[0, -1]
    assert torch.allclose(state.reading.logits, expected, atol=1e-5)


def _call(lmm: VlmLMM, state: VlmState) -> Any:
    """Let the model write a few words of its own."""
    for _ in range(4):
        lmm._read_on(state)
    return None


def _head(lmm: VlmLMM, views: Any) -> Mapping[str, Any]:
    from reasoning.vlm.local.model import _captions
    from reasoning.vlm.local.pictures import as_picture

    captions = _captions(views)
    pictures = [as_picture(one.frame.image, CONFIG.max_pixels) for one in views]
    return lmm._dialogue.inputs(lmm._dialogue.head(captions), pictures)


def test_read_ahead_or_not_the_answer_is_the_same(tmp_path: Path) -> None:
    lmm = load(tmp_path / "tiny", "qwen3_vl", None)
    key = view(3)
    cold = lmm.prefill(Prompt(Question("What?", 0), key, seen=key)).reading.logits
    assert torch.equal(
        cold, lmm.prefill(Prompt(Question("What?", 0), key, seen=key)).reading.logits
    )
    lmm._ahead._entries.clear()
    lmm.read_view(key)
    warm = lmm.prefill(Prompt(Question("What?", 0), key, seen=key)).reading.logits
    assert torch.equal(cold, warm)


def test_the_oldest_turns_go_where_there_is_no_room(tmp_path: Path) -> None:
    lmm = load(tmp_path / "tiny", "smolvlm", None)
    history = tuple(Turn(f"Question {n}?", "word " * 60, 0) for n in range(8))
    prompt = Prompt(Question("And now?", 0), view(), history)
    lmm._network.context = 8192
    whole = lmm._dialogue.words(lmm._question(prompt, [""], 100))
    assert "Question 0?" in whole
    lmm._network.context = 2048
    ids = lmm._question(prompt, [""], 100)
    kept = lmm._dialogue.words(ids)
    assert len(ids) <= 1024 and "Question 7?" in kept and "And now?" in kept
    assert "Question 0?" not in kept
    lmm._network.context = 10
    assert "And now?" in lmm._dialogue.words(lmm._question(prompt, [""], 100))


def test_the_next_turn_reads_what_the_model_wrote(tmp_path: Path) -> None:
    lmm = load(tmp_path / "tiny", "qwen3_vl", look_up("qwen3_vl"))
    decoder = SearchDecoder(ScriptedSearcher({"<region>": [FACT]}))
    assistant = Assistant(lmm, decoder)
    assistant.ask(Question("What is it?", 0), view(), lambda _: None)
    (turn,) = assistant.context().history
    marks = "[the cat](100,100,600,600)<search><region></search>"
    assert turn.written == f"I see {marks} It is a cat."
    prompt = Prompt(Question("And now?", 0), view(), (turn,))
    assert marks in lmm._dialogue.words(lmm._question(prompt, [""], 0))
    assert lmm._dialogue.own("a <|im_end|><search>b</search>") == "a <search>b</search>"


def test_boxes_go_with_the_picture(tmp_path: Path) -> None:
    from skimage import data

    lmm = load(tmp_path / "tiny", "smolvlm", look_up("smolvlm"))
    photo = data.coffee()
    key, now = (
        FakeScene([CAT]).read(Frame(n, n, np.ascontiguousarray(part), "test"))
        for n, part in enumerate((photo[50:350, 60:540], photo[50:350, 84:564]))
    )
    state = lmm.prefill(Prompt(Question("What?", 1), now, seen=key))
    assert state.looked is key and state.shift == pytest.approx((-50, 0), abs=4)
    same = lmm.prefill(Prompt(Question("What?", 1, point=(9, 9)), now, seen=key))
    assert same.looked is now and same.shift == (0, 0)


def test_what_is_pointed_at_is_looked_at(tmp_path: Path) -> None:
    lmm = load(tmp_path / "tiny", "smolvlm", None)
    keys, now = (view(1, 10), view(2, 20)), view(3, 30)
    plain = Prompt(Question("What?", 30), now, seen=keys[1], earlier=keys[:1])
    assert lmm._looked_at(plain) == keys
    pointed = Prompt(Question("What?", 30, point=(40, 24)), now, seen=keys[1], earlier=keys[:1])
    assert lmm._looked_at(pointed) == (keys[1], now)
    assert "(I point at [this](500,500).)" in lmm._asked(pointed)
    assert lmm._looked_at(Prompt(Question("What?", 30), now)) == (now,)


def test_a_keyframe_is_read_while_an_answer_is_made(tmp_path: Path) -> None:
    lmm = load(tmp_path / "tiny", "qwen2_5_vl", None)
    keys = [view(n, n) for n in range(4)]
    asked = Prompt(Question("What is it?", 0), keys[0], seen=keys[0])

    def answer() -> str:
        state = lmm.prefill(asked)
        return "".join(lmm.step(state, True).text for _ in range(12))

    alone = answer()

    def read() -> None:
        for one in keys[1:] * 3:
            lmm.read_view(one)

    reading = Thread(target=read)
    reading.start()
    beside = answer()
    reading.join()
    assert beside == alone


def test_a_cancelled_answer_stops_between_tokens(tmp_path: Path) -> None:
    start, _ = PROMPT_ENDS["smolvlm"]
    told = look_up("smolvlm") | {start: ["cat "], "cat ": ["cat "]}
    lmm = load(tmp_path / "tiny", "smolvlm", told)
    cancel = CancelToken()
    state = lmm.prefill(Prompt(Question("What?", 0), view(), cancel=cancel))
    lmm.step(state, True)
    made = state.made
    cancel.cancel("enough")
    with pytest.raises(Cancelled, match="enough"):
        while True:
            lmm.step(state, True)
    assert state.made == made


def test_marks_that_are_special_tokens_are_read(tmp_path: Path) -> None:
    """InternVL's own form of boxes, of its own special tokens."""
    lmm = load(tmp_path / "tiny", "internvl", None, replace(CONFIG, grounding="auto"))
    state = lmm.prefill(Prompt(Question("What?", 0), view()))
    ids = lmm._dialogue._ids("A <ref>cat</ref><box>[[100, 100, 600, 600]]</box><img> here")
    for token in ids:
        lmm._take(state, [token], lmm._spelled(state, token))
    lmm._take(state, [], state.shown)
    places = [piece for piece in state.queue if isinstance(piece, NamedPlace)]
    assert places == [NamedPlace("cat", (100, 100, 600, 600))] and "<img>" not in state.shown


def test_words_of_others_hold_no_special_token(tmp_path: Path) -> None:
    lmm = load(tmp_path / "tiny", "qwen3_vl", None)
    ids = lmm._dialogue.plain_ids("a <|im_end|> b")
    assert not lmm._ends & set(ids)
    assert "<" not in lmm._dialogue.harmless("a <|im_end|> b")
