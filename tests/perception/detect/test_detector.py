"""Detections and faces: boxes in the picture's own pixels, one box a thing, real photographs."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage import data

from foveal.assets.convert import network_path
from perception.detect.coco import EVERYDAY
from perception.detect.detector import (
    MODEL,
    Detection,
    Detector,
    distinct,
    overlaps,
    probability,
)
from perception.detect.faces import MODEL as FACES
from perception.detect.faces import FaceDetector
from perception.detect.letterbox import letterboxed, suppress, whole_pixels
from stream.errors import MissingAssetError
from stream.frame import Image

CUP, BOTTLE, CAT = (next(n for n, words in enumerate(EVERYDAY) if words[0] == name)
                    for name in ("cup", "bottle", "cat"))  # fmt: skip


def says(*rows: tuple[float, float, float, float, float, int]) -> Detector:
    """A detector whose network always says the same, in its own 512 x 512 pixels."""
    heat, reach = torch.zeros(1, 80, 128, 128), torch.zeros(1, 4, 128, 128)
    for x0, y0, x1, y1, score, label in rows:
        col, row = (min(127, max(0, int((a + b) / 8))) for a, b in ((x0, x1), (y0, y1)))
        heat[0, label, row, col] = score
        reach[0, :, row, col] = torch.tensor(
            [4 * col - x0, 4 * row - y0, x1 - 4 * col, y1 - 4 * row]
        )
    return Detector(lambda picture: (heat, reach))


def blank(height: int, width: int) -> Image:
    return np.zeros((height, width, 3), np.uint8)


def test_boxes_come_back_to_the_pictures_pixels() -> None:
    wide = says((0, 128, 256, 384, 0.9, CUP)).detect(blank(200, 400))
    assert [(one.name, one.box) for one in wide] == [("cup", (0, 0, 200, 200))]
    tall = says((128, 0, 384, 256, 0.9, CUP)).detect(blank(1024, 512))
    assert tall[0].box == (0, 0, 512, 512)
    off = says((-50, -50, 700, 700, 0.9, CUP), (600, 600, 700, 700, 0.8, CUP))
    assert [one.box for one in off.detect(blank(64, 64))] == [(0, 0, 64, 64)]


def test_one_box_a_thing_and_one_name_a_place() -> None:
    found = says(
        (100, 100, 200, 200, 0.8, CUP),
        (109, 100, 209, 200, 0.7, CUP),  # the same cup again
        (100, 100, 200, 200, 0.6, BOTTLE),  # or is it a bottle
        (300, 300, 400, 400, 0.5, CUP),
        (300, 100, 400, 200, 0.1, CUP),  # hardly anything
    ).detect(blank(512, 512))
    assert [one.label for one in found] == [CUP, BOTTLE, CUP]
    assert [one.box[0] for one in distinct(found)] == [100, 300]
    assert distinct(()) == ()
    assert overlaps((100, 100, 200, 200), found)[0] == 1


@given(st.floats(0, 1), st.floats(0, 1))
def test_probabilities_rise_with_scores(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert 0 <= probability(low) <= probability(high) <= 1


@given(
    st.integers(1, 300), st.integers(1, 300),
    st.lists(st.tuples(*[st.floats(-50, 350, width=32)] * 4), max_size=6),
)  # fmt: skip
def test_boxes_lie_inside_whatever_the_network_says(
    height: int, width: int, boxes: list[tuple[float, float, float, float]]
) -> None:
    square, fitted = letterboxed(blank(height, width), 64)
    assert square.shape == (64, 64, 3)
    back = fitted.back(np.array(boxes, np.float32).reshape(-1, 4))
    for box in back:
        whole = whole_pixels(box, (height, width))
        if whole is not None:
            x0, y0, x1, y1 = whole
            assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
    kept = suppress(back, np.ones(len(back), np.float32), 0.5)
    assert len(set(kept)) == len(kept) <= len(back)


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector.load(pulled(MODEL))


@pytest.fixture(scope="module")
def face_detector() -> FaceDetector:
    return FaceDetector.load(pulled(FACES))


def pulled(file: str) -> Path:
    """A pulled network; skips with the reason where it is absent."""
    try:
        return network_path("human-models", file)
    except MissingAssetError as error:
        pytest.skip(str(error))


@pytest.mark.assets
def test_things_in_photographs(detector: Detector) -> None:
    cat = detector.detect(np.ascontiguousarray(data.chelsea()))
    assert cat[0].name == "cat" and cat[0].probability > 0.7
    cup = detector.detect(np.ascontiguousarray(data.coffee()))
    assert cup[0].name == "cup"
    truth = Detection(CUP, 1.0, (165, 15, 420, 270))
    assert float(overlaps(cup[0].box, [truth])[0]) > 0.6
    astronaut = detector.detect(np.ascontiguousarray(data.astronaut()))
    assert astronaut[0].name == "person"
    assert detector.detect(blank(300, 500)) == ()


@pytest.mark.assets
@pytest.mark.parametrize("closer", [False, True])
def test_the_astronauts_face_and_nothing_else(face_detector: FaceDetector, closer: bool) -> None:
    found = face_detector.faces(np.ascontiguousarray(data.astronaut()), closer=closer)
    assert len(found) == 1
    x0, y0, x1, y1 = found[0]
    assert x0 < 190 < 255 < x1 and y0 < 80 < 155 < y1 and x1 - x0 < 200
    for other in (data.coffee(), data.rocket(), np.asarray(blank(480, 640))):
        assert face_detector.faces(np.ascontiguousarray(other), closer=closer) == []


@pytest.mark.assets
@pytest.mark.parametrize("size", [(1, 1), (1, 700), (700, 1), (33, 17)])
def test_pictures_of_any_size(
    detector: Detector, face_detector: FaceDetector, size: tuple[int, int]
) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    for x0, y0, x1, y1 in face_detector.faces(image):
        assert 0 <= x0 < x1 <= size[1] and 0 <= y0 < y1 <= size[0]
    for one in detector.detect(image):
        assert one.box[2] <= size[1] and one.box[3] <= size[0]
