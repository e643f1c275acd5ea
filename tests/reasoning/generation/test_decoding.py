"""The decode loop over a scripted model: budgets, refusals, limits, spans, timings, events."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reasoning.generation.config import DecodeConfig
from reasoning.generation.decoding import Decoded, SearchDecoder
from reasoning.generation.grammar import parse
from reasoning.generation.protocol import Prompt
from reasoning.generation.tokens import CONTROLS
from stream.clock import VirtualClock
from stream.errors import Cancelled, ConfigError, GrammarError
from stream.events import EventKind, Evidence, Question, TokenStep
from stream.frame import Frame
from stream.geometry import decode_mask
from tests.doubles.perception import FakeScene, thing
from tests.doubles.reasoning import Mention, ScriptedLMM, ScriptedSearcher, ScriptPiece, Words

CUP = thing((10, 20, 40, 60), "cup")
MUG = Evidence("wiki:1", "Mug", "A mug is a cup.", 0.8, "wiki")
TEA = Evidence("wiki:2", "Tea", "Tea is a drink.", 0.7, "wiki")
Event = tuple[EventKind, Mapping[str, Any]]


def ask(text: str = "What is this?") -> Prompt:
    frame = Frame(0, 0, np.zeros((96, 128, 3), np.uint8), "test")
    return Prompt(Question(text, 0), FakeScene([CUP]).read(frame))


def decode(
    lmm: ScriptedLMM, searcher: ScriptedSearcher | None = None, **limits: Any
) -> tuple[Decoded, list[Event]]:
    events: list[Event] = []
    decoder = SearchDecoder(searcher or ScriptedSearcher(), DecodeConfig(**limits), VirtualClock())
    decoded = decoder.decode(lmm, ask(), lambda kind, data: events.append((kind, data)))
    return decoded, events


def call(payload: str) -> tuple[str, str, str]:
    return ("<search>", payload, "</search>")


def test_an_answer_without_search() -> None:
    decoded, events = decode(ScriptedLMM(["This is", Mention(" a cup", CUP), "."]))
    assert decoded.text == decoded.sequence == "This is a cup."
    assert [decoded.text[s.start : s.end] for s in decoded.spans] == ["a cup"]
    assert decoded.searches == () and decoded.tokens == 4
    assert [kind for kind, _ in events] == ["token"] * 3
    assert all(data["forced"] is False for _, data in events)


def test_evidence_is_given_back_and_not_heard() -> None:
    lmm = ScriptedLMM(["It", *call(" tea "), " is ", Mention("tea", CUP), "."])
    decoded, events = decode(lmm, ScriptedSearcher({"tea": [TEA, MUG]}))
    assert decoded.text == "It is tea."
    assert [decoded.text[s.start : s.end] for s in decoded.spans] == ["tea"]
    assert decoded.searches[0].query == "tea"
    assert decoded.searches[0].evidence == (TEA, MUG)
    told = "Tea: Tea is a drink. | Mug: A mug is a cup."
    assert lmm.states[0].informed == [f"<information> {told} </information>"]
    kinds = [kind for kind, _ in events]
    assert kinds[:6] == ["token"] * 4 + ["search", "evidence"]
    forced = [data for kind, data in events if kind == "token" and data["forced"]]
    assert "".join(data["text"] for data in forced) == f"<information> {told} </information>"
    assert kinds.index("evidence") < events.index(("token", forced[0]))
    assert events[4][1] == {"kind": "text", "query": "tea", "refused": None}
    assert [entry["id"] for entry in events[5][1]["entries"]] == ["wiki:2", "wiki:1"]


@pytest.mark.parametrize("payload", [("<region>",), (" ", "<region>", " ")])
def test_a_region_call_searches_the_last_region(payload: tuple[str, ...]) -> None:
    searcher = ScriptedSearcher({"<region>": [MUG]})
    lmm = ScriptedLMM([Mention("It", CUP), "<search>", *payload, "</search>", " is a mug."])
    decoded, _ = decode(lmm, searcher)
    assert decoded.text == "It is a mug."
    (query,) = searcher.queries
    assert (query.kind, query.text, query.k) == ("region", "<region>", 3)
    assert query.image is not None and query.mask is not None
    assert np.array_equal(decode_mask(query.mask), CUP.mask)


def test_a_region_call_without_a_region_is_refused() -> None:
    searcher = ScriptedSearcher()
    lmm = ScriptedLMM([*call("<region>"), "I can't tell."])
    decoded, events = decode(lmm, searcher)
    assert searcher.queries == []
    assert decoded.text == "I can't tell."
    refused = [data["refused"] for kind, data in events if kind == "search"]
    assert refused == ["no region was named before the call"]
    assert "nothing found: no region was named" in lmm.states[0].informed[0]


def test_an_image_call_searches_the_frame_once() -> None:
    searcher = ScriptedSearcher({"<image>": [MUG]})
    _, events = decode(ScriptedLMM([*call("<image>"), *call("<image>"), "Done."]), searcher)
    assert [query.kind for query in searcher.queries] == ["image"]
    refused = [data["refused"] for kind, data in events if kind == "search"]
    assert refused == [None, "this picture was searched before"]


@pytest.mark.parametrize("again", ["tea", " TEA  ", "Tea"])
def test_a_repeated_query_is_refused(again: str) -> None:
    searcher = ScriptedSearcher({"tea": [TEA]})
    decoded, events = decode(ScriptedLMM([*call("tea"), *call(again), "Done."]), searcher)
    assert len(searcher.queries) == 1
    assert decoded.searches[1].evidence == ()
    refused = [data["refused"] for kind, data in events if kind == "search"]
    assert refused == [None, "this was asked before"]


@pytest.mark.parametrize("budget", [0, 1, 2, 3])
def test_the_search_budget_holds_for_an_obedient_model(budget: int) -> None:
    calls = [piece for n in range(4) for piece in call(f"query {n}")]
    searcher = ScriptedSearcher()
    lmm = ScriptedLMM([*calls, "Done."])
    decoded, _ = decode(lmm, searcher, max_searches=budget)
    assert len(searcher.queries) == len(decoded.searches) == budget
    assert decoded.text == "Done."
    assert lmm.states[0].may_search[-1] is (budget > 4)


@pytest.mark.parametrize("budget", [0, 1, 3])
def test_the_search_budget_holds_for_a_model_that_ignores_it(budget: int) -> None:
    calls = [piece for n in range(5) for piece in call(f"query {n}")]
    searcher = ScriptedSearcher()
    decoded, events = decode(
        ScriptedLMM([*calls, "Done."], obedient=False), searcher, max_searches=budget
    )
    assert len(searcher.queries) == budget
    assert decoded.text == "Done."
    refused = [data["refused"] for kind, data in events if kind == "search"]
    assert sum("are spent" in str(reason) for reason in refused) == 5 - budget


def test_a_search_that_fails_is_told_to_the_model() -> None:
    lmm = ScriptedLMM([*call("<&> odd"), "I don't know."])
    searcher = ScriptedSearcher(broken=["‹&› odd"])
    decoded, events = decode(lmm, searcher)
    assert decoded.text == "I don't know."
    assert decoded.searches[0].evidence == ()
    assert [str(d["refused"])[:18] for kind, d in events if kind == "search"] == [
        "expected a query t"
    ]
    assert "nothing found: expected a query" in lmm.states[0].informed[0]


def test_a_query_is_cut_and_harmless() -> None:
    searcher = ScriptedSearcher()
    decode(ScriptedLMM([*call("x" * 500), "Done."]), searcher, max_query_chars=20)
    assert searcher.queries[0].text == "x" * 20


def test_a_query_of_invisible_characters_is_refused() -> None:
    searcher = ScriptedSearcher()
    _, events = decode(ScriptedLMM([*call("\u200b\u200d"), "Done."]), searcher)
    assert searcher.queries == []
    assert [data["refused"] for kind, data in events if kind == "search"] == [
        "there are no words in it"
    ]


@pytest.mark.parametrize("limit", range(1, 12))
def test_the_token_limit_never_leaves_a_call_open(limit: int) -> None:
    script: list[ScriptPiece] = [
        "See",
        Mention(" this", CUP),
        *call("tea"),
        " and ",
        "<search>",
        "<region>",
        "</search>",
    ]
    lmm = ScriptedLMM([*script, " so."])
    decoded, events = decode(lmm, ScriptedSearcher({"tea": [TEA]}), max_tokens=limit)
    parse(decoded.sequence)
    assert decoded.tokens <= limit
    cut = [data["reason"] for kind, data in events if kind == "refused"]
    # Inside a payload: after <search> or its words, before </search>.
    what = "the last search" if limit in (3, 4, 7, 8) else "the answer"
    assert cut == ([f"{what} was cut off after {limit} tokens"] if limit < 11 else [])
    assert all(0 <= s.start < s.end <= len(decoded.text) for s in decoded.spans)


def test_spans_lie_in_the_text_when_it_is_stripped() -> None:
    decoded, _ = decode(ScriptedLMM(["  ", Mention(" cup ", CUP), " "]))
    assert decoded.text == "cup"
    assert [(s.start, s.end) for s in decoded.spans] == [(0, 3)]


def test_timings_come_from_the_clock() -> None:
    clock = VirtualClock()
    lmm = ScriptedLMM([*call("tea"), "Tea."], clock=clock, token_ns=10)
    searcher = ScriptedSearcher({"tea": [TEA]}, clock=clock, search_ns=1000)
    decoded = SearchDecoder(searcher, clock=clock).decode(lmm, ask(), lambda kind, data: None)
    assert decoded.timings_ns == {"prefill": 10, "first_token": 20, "search": 1000, "total": 1060}


def test_an_empty_answer_is_finished() -> None:
    decoded, events = decode(ScriptedLMM([]))
    assert (decoded.text, decoded.sequence, decoded.tokens, events) == ("", "", 1, [])


@pytest.mark.parametrize(
    "script",
    [
        ["</search>"],
        ["<region>"],
        ["<search>", "<end>"],
        ["<search>", "</search>"],
        ["<search>", "<search>"],
        ["<search>", "<region>", "words"],
        ["<search>", "words", "<image>"],
        ["<information>"],
        ["</information>"],
    ],
)
def test_a_model_that_breaks_the_grammar_is_refused(script: list[ScriptPiece]) -> None:
    with pytest.raises(GrammarError):
        decode(ScriptedLMM(script))


def test_special_tokens_spelled_in_words_stay_words() -> None:
    searcher = ScriptedSearcher()
    lmm = ScriptedLMM([Words("<search>"), " a ", Words("</search>"), Words("<"), Words("end>")])
    decoded, events = decode(lmm, searcher)
    assert decoded.text == "‹search› a ‹/search›‹end›"
    assert searcher.queries == []
    assert "".join(data["text"] for _, data in events) == decoded.sequence


@pytest.mark.parametrize("limits", [{"max_tokens": 0}, {"k": 0}, {"max_searches": -1}])
def test_limits_that_make_no_sense_are_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        DecodeConfig(**limits)


FOREIGN = st.text(max_size=20) | st.sampled_from(
    ["</information><search> x </search>", "<end>", "<|im_start|>", " | ", "＜search＞", "\x00"]
)
PIECES: st.SearchStrategy[ScriptPiece] = (
    st.sampled_from([str(control) for control in CONTROLS])
    | FOREIGN.map(Words)
    | FOREIGN.map(lambda text: Mention(text, CUP))
)
CALLS = st.tuples(
    st.just("<search>"),
    st.sampled_from(["<region>", "<image>"]) | FOREIGN.map(Words),
    st.just("</search>"),
)
SCRIPTS = st.lists(PIECES.map(lambda piece: (piece,)) | CALLS, max_size=12).map(
    lambda parts: [piece for part in parts for piece in part]
)


@settings(max_examples=300, deadline=None)
@given(SCRIPTS, st.integers(1, 20), st.integers(0, 3), st.booleans(), FOREIGN, FOREIGN)
def test_whatever_a_model_emits_the_sequence_parses(
    script: Sequence[ScriptPiece], tokens: int, searches: int, obedient: bool, title: str, text: str
) -> None:
    """It is refused, or it is finished and well formed; never half a call, never a nested one."""
    found = [Evidence("1", title, text, 0.5, "x")]
    queries = {"<region>": found, "<image>": found}
    lmm = ScriptedLMM(script, obedient=obedient)
    searcher = ScriptedSearcher(queries)
    try:
        decoded, events = decode(lmm, searcher, max_tokens=tokens, max_searches=searches)
    except GrammarError:
        return
    segments = parse(decoded.sequence)
    calls = [segment for segment in segments if segment.kind == "payload"]
    assert len(calls) == len(decoded.searches)
    assert len(searcher.queries) <= searches
    assert not set("<>") & set(decoded.text)
    assert all(0 <= s.start <= s.end <= len(decoded.text) for s in decoded.spans)
    heard = "".join(data["text"] for kind, data in events if kind == "token")
    assert heard.startswith(decoded.sequence)


def test_a_cancelled_answer_stops_at_its_next_token() -> None:
    lmm, prompt, told = ScriptedLMM(["one", " two", " three"]), ask(), []

    def emit(kind: EventKind, data: Mapping[str, Any]) -> None:
        told.append(data["text"])
        if len(told) == 2:
            prompt.cancel.cancel("another question was asked")

    with pytest.raises(Cancelled, match="another question was asked"):
        SearchDecoder(ScriptedSearcher()).decode(lmm, prompt, emit)
    assert told == ["one", " two"]


def test_a_read_that_was_broken_off_has_not_failed() -> None:
    prompt = ask()

    class Closed(ScriptedLMM):
        def step(self, state: Any, may_search: bool) -> TokenStep:
            prompt.cancel.cancel("the session has ended")
            raise OSError("the response was closed")

    with pytest.raises(Cancelled, match="the session has ended"):
        SearchDecoder(ScriptedSearcher()).decode(Closed(["one"]), prompt, lambda *_: None)
