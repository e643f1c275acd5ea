"""What a session leaves in its folder, also when things go wrong."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from devices.audio.pcm import Pcm
from foveal.output import recorder as recorder_module
from foveal.output.annotated_video import AnnotatedVideo
from foveal.output.answer_records import read_answers
from foveal.output.captions import BREATH_NS
from foveal.output.hidden_faces import OverlayFrame
from foveal.output.recorder import Recorder
from foveal.output.video_thread import VideoThread
from stream.errors import OutputError
from stream.events import AnswerEvent, Span
from stream.frame import Keyframe
from stream.timing.trace import Tracer
from tests.doubles.devices import ToneSpeaker
from tests.foveal.media import STEP_NS, answer, frame, region


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def events(folder: Path, kind: str) -> list[dict[str, Any]]:
    found = [event for event in lines(folder / "events.jsonl") if event["event"] == kind]
    return [event["data"] for event in found]


def play(recorder: Recorder, count: int = 12, answers_at: tuple[int, ...] = (3, 11)) -> None:
    for index in range(count):
        picture = frame(index)
        keyframe = Keyframe(picture, 0.2, "first") if index == 0 else None
        if index in answers_at:
            recorder.answer(answer(asked_ns=picture.pts_ns), picture, (region(1),))
        recorder.frame(picture, (region(1, index),), keyframe)


def shown(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [float(picture.pts * picture.time_base) for picture in container.decode(video=0)]


def test_a_session_fills_its_folder(tmp_path: Path) -> None:
    tracer = Tracer()
    with Recorder(tmp_path / "a" / "run", ToneSpeaker(), timed=True, tracer=tracer) as recorder:
        data = {"kind": "region", "score": np.float32(0.5)}
        recorder.event(AnswerEvent("search", 1_500_000_000, data))
        play(recorder)
        recorder.finish({"clip": "walk.mp4", "stages": tracer.summary(), "fps": 12.5})
    folder = tmp_path / "a" / "run"
    assert read_answers(folder / "answers.jsonl") == recorder.answers
    first = lines(folder / "events.jsonl")[0]
    assert first == {"event": "search", "at_s": 1.5, "data": {"kind": "region", "score": 0.5}}
    spoken = events(folder, "audio")
    assert [event["file"] for event in spoken] == ["speech/01.wav", "speech/02.wav"]
    assert [event["answer"] for event in spoken] == [1, 2]
    assert all((folder / event["file"]).is_file() for event in spoken)
    assert shown(folder / "annotated.mp4")[:12] == pytest.approx([i / 10 for i in range(12)])
    assert "walk.mp4" in (folder / "report.html").read_text(encoding="utf-8")
    assert {"draw", "encode", "speech", "report"} <= set(tracer.summary())
    assert sorted(path.name for path in folder.iterdir()) == [
        "alerts.jsonl",
        "annotated.mp4",
        "answers.jsonl",
        "events.jsonl",
        "outgoing.jsonl",
        "report.html",
        "speech",
    ]


def test_answers_at_the_end_stay_long_enough_to_read(tmp_path: Path) -> None:
    with Recorder(tmp_path, None, timed=False) as recorder:
        play(recorder, answers_at=(11,))
        recorder.answer(answer(), frame(11), ())
        recorder.finish({})
    times = shown(tmp_path / "annotated.mp4")
    assert times[-1] == pytest.approx(1.1 + 2 * 4, abs=0.2)


def test_the_same_session_gives_the_same_bytes_when_untimed(tmp_path: Path) -> None:
    for name in ("one", "two"):
        with Recorder(tmp_path / name, ToneSpeaker(), timed=False) as recorder:
            play(recorder)
    for file in ("answers.jsonl", "events.jsonl", "speech/01.wav"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    assert "timings" not in (tmp_path / "one" / "answers.jsonl").read_text()


def test_things_without_a_masklet_have_their_own_colours(tmp_path: Path) -> None:
    things = (region(0), region(0, shift=40))
    spans = (Span(2, 9, things[0]), Span(25, 30, things[1]))
    with Recorder(tmp_path, None, timed=False) as recorder:
        recorder.answer(replace(answer(), spans=spans), frame(0), things)
        recorder.finish({})
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert ">red cup</mark>" in report
    assert len(set(re.findall(r'<mark style="--tone:(#\w+)">', report))) == 2
    assert "</span>a red cup 0.90</li>" in report
    assert "</span>b China 0.90</li>" in report
    assert [span.region.track_id for span in recorder.answers[0].spans] == [0, 0]


def test_without_video_and_speech_there_is_neither(tmp_path: Path) -> None:
    with Recorder(tmp_path, None, timed=False, video=False) as recorder:
        play(recorder)
        recorder.finish({})
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [
        "alerts.jsonl",
        "answers.jsonl",
        "events.jsonl",
        "outgoing.jsonl",
        "report.html",
    ]


def test_an_interrupted_session_keeps_its_answers(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Recorder(tmp_path, None, timed=False) as recorder:
        play(recorder, count=5, answers_at=(2,))
        assert len(read_answers(tmp_path / "answers.jsonl")) == 1  # before anything is closed
        raise KeyboardInterrupt
    assert "KeyboardInterrupt" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert len(shown(tmp_path / "annotated.mp4")) >= 5


def test_an_earlier_run_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "speech").mkdir()
    (tmp_path / "speech" / "09.wav").write_text("old")
    (tmp_path / "annotated.mp4").write_text("old")
    with Recorder(tmp_path, None, timed=False):
        pass
    assert not list((tmp_path / "speech").iterdir())
    assert not (tmp_path / "annotated.mp4").exists()
    assert (tmp_path / "notes.txt").read_text() == "mine"


class BrokenSpeaker:
    """Fails on the first answer, then says nothing."""

    name = "broken"
    sample_rate = 16_000

    def __init__(self) -> None:
        self.calls = 0

    def synthesize(self, text: str) -> Iterator[Pcm]:
        self.calls += 1
        if self.calls == 1:
            yield np.zeros(10, np.int16)
            raise RuntimeError("no voice today")


def test_a_failing_voice_is_refused_and_the_session_goes_on(tmp_path: Path) -> None:
    with Recorder(tmp_path, BrokenSpeaker(), timed=False) as recorder:
        play(recorder)
        recorder.finish({"refused": {"seed": 1}})
    refused = events(tmp_path, "refused")
    assert [event["cause"] for event in refused] == ["speech", "speech"]
    assert refused[0]["reason"] == "no voice today"
    assert "nothing it can say" in refused[1]["reason"]
    assert len(recorder.answers) == 2
    assert recorder.refused == {"speech": 2}
    assert not list((tmp_path / "speech").iterdir())
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "refused: speech" in report
    assert "refused: seed" in report


def test_a_failing_video_is_refused_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OutputError("no room for pictures")

    monkeypatch.setattr(AnnotatedVideo, "write", fail)
    with Recorder(tmp_path, None, timed=False) as recorder:
        play(recorder)
        recorder.finish({})
    refused = events(tmp_path, "refused")
    assert refused == [{"cause": "video", "reason": "no room for pictures"}]
    assert len(read_answers(tmp_path / "answers.jsonl")) == 2


def test_a_file_in_the_way_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(OutputError, match=r"expected to write to .*run, got: "):
        Recorder(tmp_path / "run", None, timed=False)


@contextmanager
def unprivileged() -> Iterator[None]:
    """As nobody, since root may write anywhere."""
    user = os.geteuid()
    os.seteuid(65534 if user == 0 else user)
    try:
        yield
    finally:
        os.seteuid(user)


def test_a_read_only_folder_is_one_clear_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with unprivileged(), pytest.raises(OutputError, match="run, got: Permission denied"):
        Recorder(tmp_path / "run", None, timed=False)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs /proc")
def test_a_folder_that_cannot_be_made_is_one_clear_error() -> None:
    with pytest.raises(OutputError, match="/proc/run"):
        Recorder(Path("/proc/run"), None, timed=False)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "prepare", lambda *_: None)
    (tmp_path / "answers.jsonl").symlink_to("/dev/full")
    with (
        pytest.raises(OutputError, match=r"answers\.jsonl, got: No space left"),
        Recorder(tmp_path, None, timed=False) as recorder,
    ):
        play(recorder)


def test_an_answer_is_on_screen_while_it_is_spoken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[tuple[int, str]] = []

    def show(_: VideoThread, shot: OverlayFrame, pts_ns: int) -> None:
        shown.append((pts_ns // STEP_NS, (shot.subtitle or "").rpartition("A: ")[2]))

    monkeypatch.setattr(VideoThread, "show", show)
    speaker = ToneSpeaker(samples_per_char=1600)  # 0.1 s
    said = {0: "It is a cup. It is red. It is large and full.", 20: "A cat.", 49: "A dog. Two."}
    with Recorder(tmp_path, speaker, timed=False) as recorder:
        for index in range(50):
            if index in said:
                recorder.answer(answer(said[index]), frame(index), ())
            recorder.frame(frame(index), (), None)
        recorder.finish({})
    during = {step: words for step, words in shown if step < 50}
    assert [during[step] for step in (0, 11)] == ["It is a cup.", "It is a cup."]
    assert [during[step] for step in (12, 19)] == ["It is red.", "It is red."]
    assert [during[step] for step in (20, 25, 35)] == ["A cat."] * 3  # at once
    assert [during[step] for step in range(36, 49)] == [""] * 13  # its speech took 0.6 s
    tail = [(step, words) for step, words in shown if step >= 49]
    assert tail[0] == (49, "A dog.")
    assert tail[-1][1] == "Two."
    assert tail[-1][0] == 49 + len("A dog.Two.") + BREATH_NS // STEP_NS


def test_why_something_was_refused_is_kept_once_a_cause(tmp_path: Path) -> None:
    with Recorder(tmp_path, None, timed=False, video=False) as recorder:
        for reason in ("a point outside", "another"):
            data = {"cause": "question", "reason": reason}
            recorder.event(AnswerEvent("refused", 0, data))
    assert recorder.reasons == {"question": "a point outside"}


def test_an_alert_is_kept_shown_and_spoken_unless_it_is_silent(tmp_path: Path) -> None:
    with Recorder(tmp_path, ToneSpeaker(), timed=False) as recorder:
        for number, silent in enumerate((None, "quiet hours")):
            data = {"id": number, "text": "I see a cup.", "silent": silent, "region": None}
            recorder.event(AnswerEvent("alert", 2_000_000_000, data))
    rows = [json.loads(line) for line in (tmp_path / "alerts.jsonl").read_text().splitlines()]
    assert [(row["at"], row["text"], row["silent"]) for row in rows] == [
        (2.0, "I see a cup.", None),
        (2.0, "I see a cup.", "quiet hours"),
    ]
    assert [one.name for one in sorted((tmp_path / "speech").iterdir())] == ["alert-01.wav"]
