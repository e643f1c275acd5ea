"""Replay end to end: files written, the same bytes twice, and clips that are no clips."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from foveal.cli import main
from foveal.config.models import ReasoningConfig
from foveal.config.schema import Config, SessionConfig, SpeechSettings
from foveal.demo.clip import DemoFiles, DemoOptions, render_demo
from foveal.jobs.replay import ReplayRequest, replay
from foveal.jobs.replay_summary import Summary
from foveal.output.answer_records import read_answers
from stream.errors import AssetError, ConfigError, OutputError, SourceError
from stream.events import Question
from stream.sources.playback import PlaybackOptions

if TYPE_CHECKING:
    from foveal.setup.assistant import Models

TINY = DemoOptions(seconds=3.0, width=320, height=180, fps=4, seed=3)
QUIET = Config(session=SessionConfig(max_tracks=2), speech=SpeechSettings("none"))
AT_ONCE = PlaybackOptions(rate=0)
ASKED = (
    Question("What is this?", 250_000_000),
    Question("What is coffee made from?", 600_000_000),
    Question("What do you see?", 99_000_000_000),
)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> DemoFiles:
    """Three seconds of the demo's script: coffee, cat, page, camera and both."""
    return render_demo(tmp_path_factory.mktemp("replay") / "tiny.mp4", TINY)


@pytest.fixture
def shared_models(models: "Models", monkeypatch: pytest.MonkeyPatch) -> None:
    """Replays take the models that the whole run of the tests has loaded."""
    monkeypatch.setattr("foveal.setup.stages.open_models", lambda config: models)


@pytest.fixture(scope="module")
def first(
    clip: DemoFiles, models: "Models", tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Summary]:
    """One replay that several tests look at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("foveal.setup.stages.open_models", lambda config: models)
        yield play(clip.clip, tmp_path_factory.mktemp("runs") / "first", *ASKED, video=True)


def play(path: Path, out: Path, *questions: Question, video: bool = False) -> Summary:
    return asyncio.run(replay(ReplayRequest(path, out, questions, AT_ONCE, QUIET, video=video)))


def folder_of(path: Path, size: tuple[int, int], count: int = 3) -> Path:
    """A folder of pictures."""
    path.mkdir()
    for number in range(count):
        image = np.random.default_rng(number).integers(0, 256, (*size, 3)).astype(np.uint8)
        cv2.imwrite(str(path / f"{number}.png"), image)
    return path


@pytest.mark.assets
def test_a_replay_writes_its_files(first: Summary, clip: DemoFiles) -> None:
    names = {path.name for path in first.out.iterdir()}
    assert {"answers.jsonl", "events.jsonl", "trace.json", "report.html", "annotated.mp4"} <= names
    assert first.figures["frames"] == TINY.frame_count == 12
    assert (first.figures["answers"], first.figures["questions"]) == (3, 3)
    assert first.figures["asked_after_the_end"] == 1
    assert first.figures["refused"] == first.figures["faults"] == {}
    assert {"decode", "keyframe", "backbone", "tracker", "scene", "answer"} <= set(first.stages)


@pytest.mark.assets
def test_the_answers_are_grounded_and_cited(first: Summary) -> None:
    this, coffee, seen = read_answers(first.out / "answers.jsonl")
    assert [span.region.track_id > 0 for span in this.spans] == [True]
    assert "(Source: Coffee.)" in coffee.text
    assert seen.text.startswith(("I see", "I am not sure"))
    events = [json.loads(line) for line in (first.out / "events.jsonl").read_text().splitlines()]
    kinds = [event["event"] for event in events]
    assert kinds[0] == "keyframe" and kinds.count("question") == kinds.count("end") == 3
    assert kinds.count("search") == kinds.count("evidence") >= 1
    heard = "".join(e["data"]["text"] for e in events if e["event"] == "token")
    assert heard == this.sequence + coffee.sequence + seen.sequence


@pytest.mark.assets
def test_two_replays_give_the_same_bytes(
    first: Summary, clip: DemoFiles, shared_models: None, tmp_path: Path
) -> None:
    second = play(clip.clip, tmp_path / "second", *ASKED)
    for name in ("answers.jsonl", "events.jsonl"):
        assert (second.out / name).read_bytes() == (first.out / name).read_bytes()


@pytest.mark.assets
def test_a_cut_off_clip_is_played_as_far_as_it_goes(
    clip: DemoFiles, shared_models: None, tmp_path: Path
) -> None:
    """Without its index at the end an mp4 says nothing; a stream container plays on."""
    whole = clip.clip.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match="expected a video file"):
        play(cut, tmp_path / "out")
    loose = tmp_path / "cut.ts"
    _remux(clip.clip, loose)
    loose.write_bytes(loose.read_bytes()[: loose.stat().st_size // 2])
    summary = play(loose, tmp_path / "out", Question("Where is the cup?", 0))
    assert 0 < summary.figures["frames"] < 12
    assert summary.figures["answers"] == 1


@pytest.mark.assets
@pytest.mark.parametrize("size", [(1, 1), (7, 5)])
def test_frames_of_a_few_pixels_are_played(
    shared_models: None, tmp_path: Path, size: tuple[int, int]
) -> None:
    folder = folder_of(tmp_path / "tiny", size)
    ask = (Question("What is this?", 0), Question("What is this?", 0, point=(0, 0)))
    summary = play(folder, tmp_path / "out", *ask)
    assert (summary.figures["frames"], summary.figures["answers"]) == (3, 2)
    assert summary.figures["refused"] == {}


@pytest.mark.assets
def test_a_start_after_the_end_has_no_frames(
    clip: DemoFiles, shared_models: None, tmp_path: Path
) -> None:
    late = PlaybackOptions(rate=0, start_offset_ns=60_000_000_000)
    request = ReplayRequest(clip.clip, tmp_path / "out", ASKED, late, QUIET)
    with pytest.raises(SourceError, match="found none"):
        asyncio.run(replay(request))
    assert (tmp_path / "out" / "answers.jsonl").read_text() == ""


@pytest.mark.assets
@pytest.mark.usefixtures("shared_models")
def test_a_model_that_does_not_open_leaves_results_as_they_were(
    clip: DemoFiles, tmp_path: Path
) -> None:
    half = tmp_path / "half"
    half.mkdir()
    (half / "config.json").write_text('{"model_type": "smolvlm"}')
    config = replace(QUIET, reasoning=ReasoningConfig(model=f"hf:{half}"))
    for out in (tmp_path / "new", tmp_path / "older"):
        request = ReplayRequest(clip.clip, out, ASKED, AT_ONCE, config)
        (tmp_path / "older").mkdir(exist_ok=True)
        (tmp_path / "older" / "answers.jsonl").write_text("earlier\n")
        with pytest.raises(AssetError, match="half"):
            asyncio.run(replay(request))
    assert not (tmp_path / "new").exists()
    assert (tmp_path / "older" / "answers.jsonl").read_text() == "earlier\n"


# Refused before any model is loaded.


@pytest.mark.parametrize(
    ("name", "content"),
    [("absent.mp4", None), ("empty.mp4", b""), ("text.mp4", b"no video " * 99), ("a.vrs", b"x")],
)
def test_what_is_no_video_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes | None
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    assert main(["replay", str(path), "--out", str(tmp_path / "out"), "--no-speech"]) == 1
    assert capsys.readouterr().err.startswith("foveal: SourceError: expected")
    assert not (tmp_path / "out").exists()


def test_pictures_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    with pytest.raises(SourceError, match="there are none"):
        play(folder, tmp_path / "out")


def test_an_output_that_is_a_file_is_refused(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("mine")
    with pytest.raises(OutputError, match="choose another"):
        play(folder_of(tmp_path / "pictures", (8, 8)), taken)
    assert taken.read_text() == "mine"


@pytest.mark.skipif(
    not Path("/proc/self").is_dir(), reason="needs /proc, where not even root writes"
)
def test_an_output_that_may_not_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="choose another"):
        play(folder_of(tmp_path / "pictures", (8, 8)), Path("/proc/run"))


@pytest.mark.parametrize(
    "options",
    [
        ["--start-offset", "nan"],
        ["--start-offset", "-1"],
        ["--duration", "inf"],
        ["--duration", "nan"],
        ["--duration", "0"],
        ["--fps", "nan"],
        ["--fps", "inf"],
        ["--fps", "0"],
        ["--rate", "-1"],
        ["--rate", "nan"],
        ["--tracks", "9999"],
        ["--ask", "soon: what is this?"],
        ["--ask-file", "/nonexistent/questions.jsonl"],
        ["--config", "nothing"],
    ],
)
def test_options_that_make_no_sense_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    assert main(["replay", "clip.mp4", "--out", str(tmp_path / "out"), *options]) == 1
    assert capsys.readouterr().err.startswith("foveal: ConfigError: ")


def test_the_command_line_becomes_a_request(tmp_path: Path) -> None:
    from foveal.cli import build_parser

    (tmp_path / "q.jsonl").write_text('{"at": 2, "text": "And this?", "point": [3, 4]}\n')
    line = ["replay", "a/b.mp4", "--ask", "1.5: What is this?", "--ask-file"]
    line += [str(tmp_path / "q.jsonl"), "--fps", "29.97", "--tracks", "1", "--no-speech"]
    request = ReplayRequest.from_args(build_parser().parse_args([*line, "--duration", "2"]))
    assert request.out == Path("runs/b") and request.clip == Path("a/b.mp4")
    assert [q.asked_ns for q in request.questions] == [1_500_000_000, 2_000_000_000]
    assert request.questions[1].point == (3, 4)
    assert request.folder_fps == Fraction(2997, 100)
    assert request.playback.duration_ns == 2_000_000_000
    assert request.config.session.max_tracks == 1 and request.config.speech.backend == "none"
    with pytest.raises(ConfigError):
        ReplayRequest.from_args(build_parser().parse_args([*line, "--tracks", "-1"]))


def _remux(source: Path, target: Path) -> None:
    """The same packets in an MPEG transport stream."""
    import av

    with av.open(str(source)) as inside, av.open(str(target), "w") as outside:
        stream = inside.streams.video[0]
        copied = outside.add_stream_from_template(stream)
        for packet in inside.demux(stream):
            if packet.dts is not None:
                packet.stream = copied
                outside.mux(packet)


@pytest.mark.assets
@pytest.mark.usefixtures("shared_models")
def test_a_refused_question_is_told_with_its_reason(
    clip: DemoFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "server.yaml"
    config.write_text("reasoning:\n  model: openai:http://127.0.0.1:9/v1#model\n")  # nobody there
    flags = ["--no-video", "--no-speech", "--duration", "0.3", "--out", str(tmp_path / "out")]
    asked = ["--ask", "0.1: What is this?", "--config", str(config)]
    assert main(["replay", str(clip.clip), *asked, *flags]) == 1
    told = " ".join(capsys.readouterr().out.split())
    assert "0 of 1 questions answered" in told
    assert "question: 1 (What is this?: " in told and "127.0.0.1:9" in told
