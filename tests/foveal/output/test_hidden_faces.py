"""Faces are hidden in all that a replay writes, and everything stays with its frame."""

import base64
import io
import re
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image as PillowImage

from foveal.cli import build_parser
from foveal.jobs.replay import ReplayRequest
from foveal.output.blur import FaceBlur
from foveal.output.hidden_faces import AnswerCard, FaceCurtain, OverlayFrame
from foveal.output.recorder import Recorder
from stream.frame import Frame, Image, Keyframe
from stream.geometry import Box
from tests.foveal.media import answer, region

SIZE = (240, 320)  # too small to be looked at in parts
FACE: Box = (100, 80, 160, 160)
FLAT = 0.5  # of the detail elsewhere; what is hidden has less


def faces(_: Image) -> list[Box]:
    return [FACE]


def noisy(number: int) -> Frame:
    """Coarse noise, which a codec keeps."""
    small = np.random.default_rng(number).integers(0, 256, (SIZE[0] // 4, SIZE[1] // 4, 3))
    image = small.astype(np.uint8).repeat(4, axis=0).repeat(4, axis=1)
    return Frame(number * 100_000_000, 0, image, "test")


def detail(image: Any) -> tuple[float, float]:
    """How rough a picture is where the face was, and beside it."""
    grey = np.asarray(image, np.float64).mean(axis=2)
    scale = grey.shape[0] / SIZE[0]
    x0, y0, x1, y1 = (round(side * scale) for side in FACE)
    rough = np.abs(np.diff(grey, axis=1))
    return float(rough[y0:y1, x0 : x1 - 1].mean()), float(rough[y0:y1, 2 * x1 - x0 :].mean())


def is_hidden(image: Any) -> bool:
    inside, outside = detail(image)
    return inside < FLAT * outside


def test_answers_and_masks_stay_with_their_frames() -> None:
    curtain = FaceCurtain(FaceBlur(faces))
    frames = [noisy(number) for number in range(20)]
    shots: list[OverlayFrame] = []
    for number, frame in enumerate(frames):
        if number in (4, 19):
            curtain.answer(AnswerCard(answer(str(number)), frame, (), None))
        keyframe = Keyframe(frame, 0.1, "scene") if number == 7 else None
        shots += curtain.step(OverlayFrame(frame, (region(number),), keyframe, f"at {number}"))
    late = noisy(30)  # never came as a frame: it could not be taken
    curtain.answer(AnswerCard(answer("after the end"), frames[-1], (), None))
    curtain.answer(AnswerCard(answer("alone"), late, (), None))
    rest, cards = curtain.flush()
    shots += rest
    assert [shot.frame.pts_ns for shot in shots] == [frame.pts_ns for frame in frames]
    assert [shot.subtitle for shot in shots] == [f"at {number}" for number in range(20)]
    assert [shot.regions[0].track_id for shot in shots] == list(range(20))
    told = {n: [c.answer.text for c in shot.cards] for n, shot in enumerate(shots) if shot.cards}
    assert told == {4: ["4"], 19: ["19", "after the end"]}
    assert shots[7].keyframe is not None and shots[7].keyframe.frame is shots[7].frame
    pictures = [shot.frame for shot in shots] + [c.frame for s in shots for c in s.cards]
    assert all(is_hidden(frame.image) for frame in [*pictures, *(card.frame for card in cards)])
    assert not is_hidden(frames[0].image)


@pytest.mark.parametrize("blurred", [False, True])
def test_nothing_that_is_written_shows_a_face(tmp_path: Path, blurred: bool) -> None:
    blur = FaceBlur(faces) if blurred else None
    with Recorder(tmp_path, None, timed=False, blur=blur) as recorder:
        for number in range(15):
            frame = noisy(number)
            keyframe = Keyframe(frame, 0.2, "first") if number in (0, 14) else None
            if number == 8:
                recorder.answer(answer(), frame, ())
            recorder.frame(frame, (), keyframe)
        recorder.answer(answer("later"), frame, ())
        recorder.finish({"clip": "walk.mp4"})
    with av.open(str(tmp_path / "annotated.mp4")) as video:
        pictures = [picture.to_ndarray(format="rgb24") for picture in video.decode(video=0)]
    assert len(pictures) >= 15
    assert {is_hidden(picture) for picture in pictures[:15]} == {blurred}
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    codes = re.findall(r"data:image/jpeg;base64,([A-Za-z0-9+/=]+)", page)
    shown = [PillowImage.open(io.BytesIO(base64.b64decode(code))) for code in codes]
    large = [picture for picture in shown if picture.height > 400]
    assert len(large) == 2 and len(shown) == 4
    assert {is_hidden(picture) for picture in shown} == {blurred}


def test_it_can_be_asked_for_on_the_command_line() -> None:
    line = ["replay", "walk.mp4"]
    assert not ReplayRequest.from_args(build_parser().parse_args(line)).config.recording.blur_faces
    asked = ReplayRequest.from_args(build_parser().parse_args([*line, "--blur-faces"]))
    assert asked.config.recording.blur_faces
