"""The search grammar: what it lets through is well formed, and offsets survive the cut."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasoning.generation.grammar import Call, Grammar, Segment, parse, read_payload, visible
from reasoning.generation.tokens import (
    CONTROLS,
    END_INFORMATION,
    END_SEARCH,
    INFORMATION,
    LEARNT,
    SEARCH,
    Control,
)
from stream.errors import GrammarError

PLAIN = st.text(st.characters(exclude_characters="<>", exclude_categories=["Cs"]), max_size=12)
PAYLOADS = st.sampled_from(
    ["<region>", " <region> ", "<image>", "\n<image>", "<memory><region>", " <memory> keys"]
) | PLAIN.filter(lambda text: bool(text.strip()))


@st.composite
def well_formed(draw: st.DrawFn) -> tuple[str, list[tuple[str, str]]]:
    """A sequence and its (kind, text) parts; neighbouring texts are one."""
    parts: list[tuple[str, str]] = []
    sequence = ""
    for _ in range(draw(st.integers(0, 4))):
        text = draw(PLAIN)
        payload, found = draw(PAYLOADS), draw(PLAIN)
        gap = draw(st.sampled_from(["", " ", "\n"]))
        sequence += f"{text}{SEARCH}{payload}{END_SEARCH}{gap}{INFORMATION}{found}{END_INFORMATION}"
        parts += [("text", text), ("payload", payload), ("information", found)]
    tail = draw(PLAIN)
    parts.append(("text", tail))
    end = draw(st.sampled_from(["", "<end>"]))
    return sequence + tail + end, [(kind, text) for kind, text in parts if text]


@given(well_formed())
def test_parse_gives_back_what_was_written(case: tuple[str, list[tuple[str, str]]]) -> None:
    sequence, parts = case
    segments = parse(sequence)
    assert [(s.kind, sequence[s.start : s.end]) for s in segments] == parts


@given(well_formed())
def test_visible_text_is_the_answer_alone(case: tuple[str, list[tuple[str, str]]]) -> None:
    sequence, parts = case
    text, offsets = visible(sequence)
    assert text == "".join(part for kind, part in parts if kind == "text")
    assert len(offsets) == len(sequence) + 1
    assert offsets == sorted(offsets)
    assert offsets[0] == 0 and offsets[-1] == len(text)
    for segment in parse(sequence):
        if segment.kind == "text":
            heard = text[offsets[segment.start] : offsets[segment.end - 1] + 1]
            assert heard == sequence[segment.start : segment.end]


@given(well_formed(), st.data())
def test_spans_map_to_the_same_words(
    case: tuple[str, list[tuple[str, str]]], data: st.DataObject
) -> None:
    sequence, _ = case
    texts = [segment for segment in parse(sequence) if segment.kind == "text"]
    if not texts:
        return
    segment = data.draw(st.sampled_from(texts))
    start = data.draw(st.integers(segment.start, segment.end - 1))
    end = data.draw(st.integers(start + 1, segment.end))
    text, offsets = visible(sequence)
    # The end maps to where the next heard character stands, which is right after the span.
    assert text[offsets[start] : offsets[end]] == sequence[start:end]


@pytest.mark.parametrize(
    ("payload", "call"),
    [
        ("<region>", Call("region", "<region>")),
        (" <region> ", Call("region", "<region>")),
        ("\n<image>\t", Call("image", "<image>")),
        (" who painted it ", Call("text", "who painted it")),
        ("region", Call("text", "region")),
    ],
)
def test_payloads_golden(payload: str, call: Call) -> None:
    assert read_payload(payload) == call
    segments = parse(f"{SEARCH}{payload}{END_SEARCH}{INFORMATION}x{END_INFORMATION}")
    assert segments == (
        Segment("payload", 8, 8 + len(payload)),
        Segment("information", 30 + len(payload), 31 + len(payload)),
    )


@pytest.mark.parametrize(
    "payload", ["", "  ", "<region><region>", "a <image>", "<region> b", "<end>"]
)
def test_other_payloads_are_refused(payload: str) -> None:
    with pytest.raises(GrammarError):
        read_payload(payload)
    with pytest.raises(GrammarError):
        parse(f"{SEARCH}{payload}{END_SEARCH}{INFORMATION}x{END_INFORMATION}")


MALFORMED = (
    "<search> open",
    "<search> open </search>",
    "<search> q </search> words <information> x </information>",
    "<search> q </search><information> open",
    "<search> a <search> b </search></search>",
    "<search></search><information> x </information>",
    "<search> q </search><search> r </search>",
    "<information> unasked </information>",
    "</search>",
    "</information>",
    "a <region> b",
    "<image>",
    "<end> more",
    "<end><end>",
    "<search> q </search><information> <search> r </search> </information>",
    "<search> q </search><information> <information> x </information></information>",
    "<search> q <information> x </information>",
    "<search> q </search><information> x </information></information>",
    "<search><end>",
)


@pytest.mark.parametrize("sequence", MALFORMED)
def test_malformed_sequences_are_refused_with_what_was_expected(sequence: str) -> None:
    with pytest.raises(GrammarError, match="expected .+, got"):
        parse(sequence)
    with pytest.raises(GrammarError):
        visible(sequence)


TOKENS = st.sampled_from([*CONTROLS, "word", " ", ""]) | PLAIN


@given(st.lists(TOKENS, max_size=12))
def test_parsing_text_agrees_with_following_tokens(tokens: list[str]) -> None:
    """A sequence parses exactly when the grammar takes it token by token and it is closed."""
    sequence = "".join(tokens)
    grammar, taken = Grammar(memory=True), True
    try:
        _follow(grammar, tokens)
    except GrammarError:
        taken = False
    closed = grammar.place in ("answer", "ended")
    try:
        parse(sequence)
        parsed = True
    except GrammarError:
        parsed = False
    if taken:
        assert parsed == closed
    elif parsed:
        # Only blanks between a call and its evidence are taken from text and not from a model.
        assert any(not token.strip() for token in tokens)


@given(st.data())
def test_what_the_grammar_allows_always_closes(data: st.DataObject) -> None:
    """Any choice among what is allowed, cut at any place and then closed, parses."""
    grammar, pieces = Grammar(), []
    for _ in range(data.draw(st.integers(0, 20))):
        options: list[str] = sorted(grammar.allowed())
        if grammar.takes_text:
            options.append("words")
        if not options:
            break
        piece = data.draw(st.sampled_from(options))
        control = piece if piece in CONTROLS else None
        grammar.push(piece, control)
        pieces.append(piece)
    closing: dict[str, tuple[Control, ...]] = {
        "payload": ("</search>", "<information>", "</information>"),
        "called": ("<information>", "</information>"),
        "information": ("</information>",),
    }
    if grammar.place == "payload" and not "".join(grammar.payload).strip():
        pieces.append("<region>")
    pieces += closing.get(grammar.place, ())
    kinds = [segment.kind for segment in parse("".join(pieces))]
    assert kinds.count("payload") == pieces.count(SEARCH)


def _follow(grammar: Grammar, tokens: Sequence[str]) -> None:
    for token in tokens:
        control = next((c for c in CONTROLS if c == token), None)
        grammar.push(token, control)


def test_a_memory_is_searched_only_where_one_is_open() -> None:
    for open_, allowed in (
        (True, {"<region>", "<image>", "<memory>"}),
        (False, {"<region>", "<image>"}),
    ):
        grammar = Grammar(memory=open_)
        grammar.push(SEARCH, SEARCH)
        assert grammar.allowed() == allowed
    grammar = Grammar(memory=True)
    grammar.push(SEARCH, SEARCH)
    grammar.push("<memory>", "<memory>")
    assert grammar.allowed() == {"<region>", "<image>"}
    grammar.push(" my keys ", None)
    assert grammar.push(END_SEARCH, END_SEARCH) == Call("text", "my keys", memory=True)
    with pytest.raises(GrammarError):
        Grammar().push("<memory>", "<memory>")


def test_ids_that_were_trained_stay() -> None:
    assert CONTROLS[:7] == LEARNT
    assert CONTROLS[7:] == ("<memory>",)
