"""The chat annotator: every step over HTTP, a whole record, and answers that cannot be read."""

import json

import numpy as np
import pytest

from reasoning.data.annotator import NamedMask, QuestionSample, SubQuestion
from reasoning.data.builder import Builder
from reasoning.data.openai_annotator import OpenAiAnnotator
from reasoning.data.records import sequence_of
from stream.errors import BackendError
from stream.events import Evidence
from stream.frame import Image
from stream.geometry import encode_mask
from tests.doubles.reasoning import ScriptedSearcher
from tests.reasoning.vlm.chat_server import chat_server

SIZE = (40, 60)
MASK = np.zeros(SIZE, bool)
MASK[5:30, 10:40] = True
PLANT = NamedMask("plant", encode_mask(MASK))
SAMPLE = QuestionSample(
    "s", "p.jpg", SIZE, "How warm does this like it?", "18-29 degrees", (PLANT,), 0
)
PALM = Evidence("wiki:Palm", "Ravenea rivularis", "Ravenea rivularis is a palm.", 0.9, "wiki")
WARM = Evidence("wiki:Palm", "Ravenea rivularis", "It prefers 18-29 degrees.", 0.9, "wiki")

TYPE = 'Sure: {"type": "multi_hop"}'
PLAN = json.dumps(
    [{"question": "What is it?", "search": True}, {"question": "How warm?", "search": True}]
)
ANSWER = json.dumps(
    {"answer": "The [plant|0]<search> is Ravenea rivularis. It prefers<search> 18-29 degrees."}
)
REGION = '[{"modality": "region"}, {"modality": "song"}, 7]'
WORDS = '[{"modality": "text", "query": "  "}, {"modality": "text", "query": "how warm"}]'


def picture(_: str) -> Image:
    return np.zeros((*SIZE, 3), np.uint8)


def test_a_record_from_recorded_answers() -> None:
    searcher = ScriptedSearcher({"<region>": [PALM], "how warm": [WARM]})
    with chat_server([TYPE, PLAN, ANSWER, ANSWER, REGION, WORDS]) as (client, replay):
        builder = Builder(OpenAiAnnotator(client, picture), searcher, picture)
        (record,) = builder.build(iter([SAMPLE]))
    assert sequence_of(record.turns[0].segments) == (
        "The plant<search><region></search><information> Ravenea rivularis: Ravenea rivularis is a "
        "palm. </information> is Ravenea rivularis. It prefers<search> how warm </search>"
        "<information> Ravenea rivularis: It prefers 18-29 degrees. </information> 18-29 degrees."
    )
    assert builder.report.calls == {"region": 1, "text": 1}
    assert [request["n"] for request in replay.requests] == [1, 1, 5, 1, 1, 1]
    parts = replay.requests[0]["messages"][1]["content"]
    assert [part["type"] for part in parts] == ["image_url", "text"]
    assert "[plant|0]" in replay.requests[2]["messages"][1]["content"][1]["text"]


@pytest.mark.parametrize("said", ["", "no json", "[1, 2]", "{", '{"type": "song"}', "null"])
def test_answers_that_cannot_be_read_cost_the_sample_not_the_run(said: str) -> None:
    with chat_server([said] * 10) as (client, _):
        annotator = OpenAiAnnotator(client, picture)
        assert annotator.question_type(SAMPLE) == "attribute"
        assert annotator.decompose(SAMPLE) == ()
        assert annotator.responses(SAMPLE, (), 2) == []
        assert annotator.refine(SAMPLE, (), ("first", "second")) == "first"
        assert annotator.queries(SAMPLE, "a", "b") == []
        assert list(Builder(annotator, ScriptedSearcher(), picture).build(iter([SAMPLE]))) == []


def test_a_plan_keeps_only_what_is_well_formed() -> None:
    said = '[{"question": "A </search>?", "search": "yes"}, {"search": true}, 3]'
    with chat_server([said]) as (client, _):
        plan = OpenAiAnnotator(client, picture).decompose(SAMPLE)
    assert plan == (SubQuestion("A ‹/search›?", False),)


def test_a_server_that_fails_ends_the_run() -> None:
    with chat_server([503], retry_s=0.0) as (client, _), pytest.raises(BackendError, match="503"):
        OpenAiAnnotator(client, picture).question_type(SAMPLE)
