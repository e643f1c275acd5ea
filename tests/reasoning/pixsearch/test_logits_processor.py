"""Which token comes next: whatever the logits are, the sequence stays well formed."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reasoning.generation.config import GroundConfig, LogitsProcessorConfig
from reasoning.generation.grammar import Grammar, parse
from reasoning.generation.tokens import ControlIds
from reasoning.pixsearch.logits_processor import LogitsProcessor
from stream.errors import ConfigError


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    gate=st.floats(0, 1),
    heat=st.floats(0.1, 40),
    may=st.booleans(),
    repeat=st.sampled_from([0, 2, 4]),
    named=st.booleans(),
)
def test_any_logits_make_a_closed_sequence(
    seed: int, gate: float, heat: float, may: bool, repeat: int, named: bool
) -> None:
    controls = ControlIds(40)
    processor = LogitsProcessor(
        controls, LogitsProcessorConfig(gate, max_query=5, repeat=repeat, reserved=2)
    )
    random = torch.Generator().manual_seed(seed)
    grammar, pieces, written = Grammar(), list[str](), list[int]()
    for _ in range(60):
        logits = torch.randn(50, generator=random) * heat  # three ids more than there are tokens
        logits[controls.first :] += heat
        token = processor.next_token(logits, grammar, written, may, named)
        control = controls.control(token)
        assert control is not None or 2 <= token < controls.first
        assert may or control != "<search>"
        assert named or control != "<region>"
        # Payloads of nothing but spaces must not close either.
        text = control or (" " if token % 3 else "x")
        call = grammar.push(text, control)
        pieces.append(text)
        written = [] if control else [*written, token]
        if grammar.place == "ended":
            break
        if call is not None:
            for piece, special in (("<information>", True), ("y", False), ("</information>", True)):
                grammar.push(piece, controls.control(controls.id_of(piece)) if special else None)
                pieces.append(piece)
    if grammar.place == "payload":  # the decode loop drops an open call at its limit
        while pieces.pop() != "<search>":
            pass
    parse("".join(piece for piece in pieces if piece != "<end>"))


@pytest.mark.parametrize("kinds", [("text",), ("image",), ("region",), ("text", "image", "region")])
def test_a_kind_of_search_can_be_taken_away(kinds: tuple[str, ...]) -> None:
    """The ablations: whatever the logits are, no other kind of query is written."""
    controls = ControlIds(40)
    allowed = {kind: kind in kinds for kind in ("text", "image", "region")}
    processor = LogitsProcessor(
        controls, LogitsProcessorConfig(0.0, max_query=4, reserved=2, **allowed)
    )
    random = torch.Generator().manual_seed(1)
    for named in (True, False):
        grammar, calls = Grammar(), []
        for _ in range(40):
            logits = torch.randn(47, generator=random) * 9
            token = processor.next_token(logits, grammar, [5], True, named)
            control = controls.control(token)
            call = grammar.push(control or "x", control)
            if call is not None:
                calls.append(call.kind)
                for piece, special in (("<information>", 1), ("y", 0), ("</information>", 1)):
                    grammar.push(
                        piece, controls.control(controls.id_of(piece)) if special else None
                    )
            if grammar.place == "ended":
                break
        usable = set(kinds) - (set() if named else {"region"})
        assert set(calls) <= usable and bool(calls) == bool(usable)


def test_settings_out_of_range_are_refused() -> None:
    for broken in ({"search_gate": 1.5}, {"max_query": 0}, {"repeat": -1}):
        with pytest.raises(ConfigError):
            replace(LogitsProcessorConfig(), **broken)
    with pytest.raises(ConfigError):
        GroundConfig(gate=1.5)
