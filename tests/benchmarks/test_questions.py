"""The question sets: what their files hold, and that their questions give nothing away."""

import re
from pathlib import Path

import av
import numpy as np
import pytest

from benchmarks.grading import KINDS
from benchmarks.questions import (
    EVERYDAY,
    EVERYDAY_TUNING,
    GENERAL,
    Asked,
    in_pixels,
    present,
    read_frame,
    read_questions,
)
from reasoning.rules.intents import read_examples
from stream.errors import ConfigError


def test_no_question_holds_its_answer() -> None:
    asked = read_questions()
    assert {one.kind for one in asked} == set(KINDS) - {"thing"} and len(asked) >= 40
    assert len({one.question for one in asked}) == len(asked)
    for one in asked:
        for word in one.accept:
            assert not re.search(rf"\b{re.escape(word)}", one.question, re.IGNORECASE), one
        assert bool(one.accept) == (one.kind != "unanswerable")


def test_general_questions_are_new_to_the_intent_classifier() -> None:
    known = {text.lower() for text, _ in read_examples()}
    asked = read_questions(GENERAL)
    assert len(asked) >= 40 and any(one.after for one in asked)
    for one in asked:
        assert one.question.lower() not in known, one
        said = " ".join((one.question, *one.after))
        for word in one.accept:
            assert not re.search(rf"\b{re.escape(word)}", said, re.IGNORECASE), one


def test_the_everyday_halves_share_nothing() -> None:
    halves = [read_questions(path) for path in (EVERYDAY, EVERYDAY_TUNING)]
    known = {text.lower() for text, _ in read_examples()}
    views = [{one.view for one in half if Path(one.view).suffix} for half in halves]
    assert not views[0] & views[1] and min(map(len, halves)) >= 20
    assert len({one.question for half in halves for one in half}) == sum(map(len, halves))
    assert not known & {one.question.lower() for one in halves[0]}


def test_questions_without_their_photograph_are_left_out(tmp_path: Path) -> None:
    asked = read_questions(EVERYDAY)
    left = present(asked, tmp_path)
    assert left and len(left) < len(asked) and not any(Path(one.view).suffix for one in left)


def test_an_answerable_question_needs_accepted_words(tmp_path: Path) -> None:
    path = tmp_path / "questions.yaml"
    path.write_text('fact: [{view: coffee, question: "Why?"}]')
    with pytest.raises(ConfigError, match="Why"):
        read_questions(path)


def test_a_point_may_be_shares_of_the_view() -> None:
    assert in_pixels((0.5, 0.25), (480, 640)) == (320, 120)
    assert in_pixels((380, 179), (480, 640)) == (380, 179)
    assert in_pixels(None, (480, 640)) is None


def test_a_view_is_a_frame_of_a_recording_at_a_time(tmp_path: Path) -> None:
    shades = [np.full((48, 64, 3), 40 * number, np.uint8) for number in range(6)]
    with av.open(str(tmp_path / "walk.mp4"), "w") as clip:
        stream = clip.add_stream("libx264", rate=2)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for shade in shades:
            clip.mux(stream.encode(av.VideoFrame.from_ndarray(shade, format="rgb24")))
        clip.mux(stream.encode())
    for seconds, level in ((0, 0), (1, 80), (1.2, 120)):
        frame = read_frame(f"walk.mp4@{seconds}", tmp_path)
        assert abs(float(frame.image.mean()) - level) < 6 and frame.size == (48, 64)
    with pytest.raises(ConfigError, match="walk.mp4"):
        read_frame("walk.mp4@9", tmp_path)
    asked = [Asked("visual", view, "Why?", ("x",)) for view in ("walk.mp4@1", "run.mp4@1")]
    assert [one.view for one in present(asked, tmp_path)] == ["walk.mp4@1"]
