"""What clients say: read, refused, never a crash; and what is sent fits the schema."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foveal.live.protocol import json_schema
from foveal.live.protocol.client import (
    AskMessage,
    DeviceMessage,
    ForgetMessage,
    PingMessage,
    RecordMessage,
    StopMessage,
    TalkMessage,
    parse,
)
from foveal.live.protocol.wire import MAX_MASK_SIDE, question_of, shrink
from stream.errors import PromptError
from stream.geometry import encode_mask
from tests.foveal.live.live_rig import ROOT, validators

GOOD: list[tuple[dict[str, Any], object]] = [
    ({"type": "ask", "text": " What is this? "}, AskMessage(v=1, text="What is this?")),
    ({"type": "ask", "text": "a", "point": [0.5, 1]}, AskMessage(v=1, text="a", point=(0.5, 1.0))),
    (
        {"type": "ask", "text": "a", "box": [0, 0, 0.5, 1]},
        AskMessage(v=1, text="a", box=(0.0, 0.0, 0.5, 1.0)),
    ),
    ({"type": "stop"}, StopMessage(v=1)),
    ({"type": "forget"}, ForgetMessage(v=1)),
    ({"type": "ping", "n": 3}, PingMessage(v=1, n=3)),
    ({"type": "record", "on": True}, RecordMessage(v=1, on=True)),
    ({"type": "talk", "on": True}, TalkMessage(v=1, on=True)),
    ({"type": "talk", "on": True, "open_mic": True}, TalkMessage(v=1, on=True, open_mic=True)),
    (
        {"type": "device", "battery": 0.5, "charging": False},
        DeviceMessage(v=1, battery=0.5, charging=False),
    ),
    ({"type": "device", "thermal": "fair"}, DeviceMessage(v=1, thermal="fair")),
]


@pytest.mark.parametrize(("data", "meant"), GOOD)
def test_messages_are_read_and_fit_the_schema(data: dict[str, Any], meant: object) -> None:
    message = {"v": 1, **data}
    assert parse(json.dumps(message)) == meant
    validators()["client"].validate(message)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"type": "shout"},
        {"type": "ask"},
        {"type": "ask", "text": "  ...  "},
        {"type": "ask", "text": "x" * 1001},
        {"type": "ask", "text": "a", "point": [0.5]},
        {"type": "ask", "text": "a", "point": [0.5, 1.5]},
        {"type": "ask", "text": "a", "point": [True, 0.5]},
        {"type": "ask", "text": "a", "box": [0.5, 0.5, 0.5, 0.9]},
        {"type": "ping", "n": 1.5},
        {"type": "record"},
        {"type": "talk", "on": 1},
        {"type": "device"},
        {"type": "device", "battery": 7},
    ],
)
def test_bad_messages_are_refused_with_a_reason(data: dict[str, Any]) -> None:
    with pytest.raises(PromptError, match="expected"):
        parse(json.dumps({"v": 1, **data}))


@pytest.mark.parametrize(
    "text", [None, b"{}", "", "[", "[]", "7", '{"v":2}', "x" * 9000, "[" * 8000]
)
def test_what_is_no_message_is_refused(text: object) -> None:
    with pytest.raises(PromptError, match="expected"):
        parse(text)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=6,
)
KEYS = st.sampled_from(["text", "point", "box", "n", "on", "battery"])
TYPES = st.sampled_from(["ask", "stop", "forget", "ping", "record", "talk", "device"])


@settings(deadline=None)
@given(TYPES, st.dictionaries(KEYS, VALUES))
def test_nothing_but_a_prompt_error_comes_of_any_json(kind: str, data: dict[str, Any]) -> None:
    try:
        said = parse(json.dumps({"v": 1, "type": kind, **data}))
    except PromptError:
        return
    if isinstance(said, AskMessage):
        question = question_of(said, 0, (120, 160))
        assert question.text == question.text.strip() != ""
        if question.point is not None:
            assert 0 <= question.point[0] < 160 and 0 <= question.point[1] < 120


def test_the_documents_are_made_from_the_types() -> None:
    docs = ROOT / "docs"
    again = "run python -m foveal.live.protocol.json_schema"
    assert (
        json.loads((docs / json_schema.SCHEMA).read_text("utf-8")) == json_schema.json_schema()
    ), again
    text = (docs / json_schema.PAGE).read_text("utf-8")
    assert json_schema.page(text) == text, again
    kinds = [one.model_fields["type"].default for one in json_schema.SERVER_MESSAGES]
    assert len(kinds) == len(set(kinds)) == len(json_schema.tables()["server"].splitlines()) - 2


def test_masks_are_made_small_enough_to_send() -> None:
    mask = np.zeros((480, 641), bool)
    mask[100:200, 100:300] = True
    small = shrink(encode_mask(mask))
    assert max(small.size) <= MAX_MASK_SIDE
    assert small.area / (small.size[0] * small.size[1]) == pytest.approx(mask.mean(), rel=0.05)
    tiny = encode_mask(mask[:100, :100])
    assert shrink(tiny) is tiny
