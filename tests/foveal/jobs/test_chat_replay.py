"""A whole replay whose answers come from a chat server over HTTP, real and faulty ones."""

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from foveal.config.models import ReasoningConfig
from foveal.config.schema import Config, SessionConfig, SpeechSettings
from foveal.demo.clip import DemoOptions, render_demo
from foveal.jobs.replay import ReplayRequest, replay
from foveal.jobs.replay_summary import Summary
from foveal.output.answer_records import read_answers
from foveal.setup.backends import load_backend
from reasoning.generation.config import ChatConfig, DecodeConfig
from stream.events import Question
from stream.sources.playback import PlaybackOptions
from tests.doubles.vlm_random import save
from tests.reasoning.vlm.chat_server import Raw, Script, chat_server
from tests.reasoning.vlm.wire_shapes import chunk, events

if TYPE_CHECKING:
    from foveal.setup.assistant import Models

pytestmark = pytest.mark.assets
ASKED = (
    Question("What is this?", 250_000_000, point=(160, 90)),
    Question("And what is it for?", 600_000_000),
)
SCRIPT = {
    ":": ["I see "],
    "I see ": ["[the cat](100,100,600,600)"],
    "[the cat](100,100,600,600)": [" It is a cat."],
    " It is a cat.": ["<end_of_utterance>"],
}
BEGUN = events(chunk("m", {"content": "I see [a"}), done=False)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = DemoOptions(seconds=1.0, width=320, height=180, fps=3, seed=3)
    return render_demo(tmp_path_factory.mktemp("clip") / "tiny.mp4", options).clip


@pytest.fixture(autouse=True)
def fresh(models: "Models", monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("foveal.setup.stages.open_models", lambda config: models)
    yield
    load_backend.cache_clear()


def play(clip: Path, out: Path, model: str, **chat: Any) -> Summary:
    config = Config(
        session=SessionConfig(max_tracks=2),
        speech=SpeechSettings("none"),
        reasoning=ReasoningConfig(
            model=model, chat=ChatConfig(**chat), decode=DecodeConfig(max_searches=1)
        ),
    )
    return asyncio.run(replay(ReplayRequest(clip, out, ASKED, PlaybackOptions(rate=0), config)))


def test_a_real_server_answers_a_replay(clip: Path, real_server: str, tmp_path: Path) -> None:
    save("smolvlm", tmp_path / "tiny", SCRIPT)
    model = f"openai:{real_server}#{tmp_path / 'tiny'}"
    summary = play(clip, tmp_path / "run", model, server="transformers", max_tokens=40)
    assert summary.figures["answers"] == 2 and summary.figures["refused"] == {}
    for answer in read_answers(tmp_path / "run" / "answers.jsonl"):
        assert answer.text == "I see the cat It is a cat."
        assert [span.region.track_id > 0 for span in answer.spans] == [True]


@pytest.mark.parametrize(
    ("first", "cause"),
    [
        (Raw(BEGUN, then="cut"), "cut off"),
        (Raw(BEGUN), "cut off"),
        (Raw(BEGUN, then="stall"), "cut off"),
        (Raw(then="stall"), "question"),
        (Raw("data: nonsense\n\n"), "question"),
        (Raw("<html>not found</html>", 404), "question"),
        (429, "question"),
        (500, "question"),
    ],
    ids=["cut", "no end", "stalls", "hangs", "garbage", "another API", "busy", "broken"],
)
def test_a_fault_costs_its_own_question_only(
    first: Script, cause: str, clip: Path, tmp_path: Path
) -> None:
    """A part of an answer is no answer, and never holds unfinished markup."""
    second = "It is for [drinking](100,100,400,400)."
    with chat_server([first, second]) as (client, replay_of):
        url = f"openai:{client.endpoint.url}#tiny"
        summary = play(clip, tmp_path / "run", url, timeout_s=0.5, retry_s=0.0)
        assert len(replay_of.requests) == 2
    assert summary.figures["answers"] == 1 and summary.figures["refused"] == {cause: 1}
    answers = read_answers(tmp_path / "run" / "answers.jsonl")
    assert answers[-1].text == "It is for drinking." and not answers[-1].cut
    if cause == "cut off":
        assert answers[0].text == "I see" and answers[0].cut
    lines = (tmp_path / "run" / "events.jsonl").read_text().splitlines()
    told = [json.loads(line) for line in lines]
    (refused,) = (one["data"] for one in told if one["event"] == "refused")
    assert refused["cause"] == cause and client.endpoint.url in refused["reason"]
    assert summary.figures["frames"] == 3


def test_every_picture_that_was_sent_is_listed(clip: Path, tmp_path: Path) -> None:
    with chat_server(["A cup.", "For tea."]) as (client, server):
        play(clip, tmp_path / "run", f"openai:{client.endpoint.url}#tiny")
    rows = [json.loads(line) for line in (tmp_path / "run/outgoing.jsonl").read_text().splitlines()]
    assert len(rows) == len(server.requests) == 2
    for row, request, asked in zip(rows, server.requests, ASKED, strict=True):
        coded = re.findall(r"data:image/jpeg;base64,([^\"]+)", json.dumps(request))
        sent = [base64.b64decode(one) for one in coded]
        assert sent and row["pictures"] == [
            {"sha256": hashlib.sha256(one).hexdigest(), "size_bytes": len(one)} for one in sent
        ]
        assert asked.text in row["words"] and row["server"] in client.endpoint.url
        assert (row["seam"], row["local"]) == ("chat", True)


def test_nothing_leaves_the_machine_with_the_embedded_profile(clip: Path, tmp_path: Path) -> None:
    summary = play(clip, tmp_path / "run", "rules")
    assert summary.figures["answers"] == 2
    assert (tmp_path / "run/outgoing.jsonl").read_bytes() == b""
