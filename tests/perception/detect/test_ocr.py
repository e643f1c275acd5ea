"""Written words: read where they stand, top to bottom; a picture without words has none."""

import socket
from collections.abc import Sequence

import cv2
import numpy as np
import pytest

from perception.detect.ocr import RapidTextReader
from stream.frame import Image
from stream.geometry import box_iou


@pytest.fixture(scope="module")
def reader() -> RapidTextReader:
    return RapidTextReader()


def sign(lines: Sequence[str], size: tuple[int, int] = (160, 240)) -> Image:
    """Black words on white, one line every 60 rows."""
    image = np.full((*size, 3), 255, np.uint8)
    for number, line in enumerate(lines):
        place = (20, 50 + 60 * number)
        cv2.putText(image, line, place, cv2.FONT_HERSHEY_SIMPLEX, 1.4, (0, 0, 0), 3, cv2.LINE_AA)
    return image


def test_lines_are_read_from_top_to_bottom(reader: RapidTextReader) -> None:
    lines = reader.read(sign(["COFFEE", "EXIT 42"]))
    assert [line.text.replace(" ", "") for line in lines] == ["COFFEE", "EXIT42"]
    assert all(0.6 <= line.score <= 1 for line in lines)
    assert box_iou(lines[0].box, (20, 15, 190, 55)) > 0.4
    assert lines[0].box[1] < lines[1].box[1]


def test_the_models_lie_in_the_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    (line,) = RapidTextReader().read(sign(["COFFEE"]))
    assert line.text == "COFFEE"


def test_boxes_are_in_the_picture_s_own_pixels(reader: RapidTextReader) -> None:
    """Also where it is shrunk to be read."""
    small = sign(["COFFEE"])
    large = cv2.resize(small, (1440, 960), interpolation=cv2.INTER_CUBIC)
    (line,) = reader.read(large)
    assert line.text == "COFFEE"
    assert box_iou(line.box, (120, 90, 1140, 330)) > 0.4
    assert line.box[2] <= 1440 and line.box[3] <= 960


def test_a_picture_without_words_has_none(reader: RapidTextReader) -> None:
    assert reader.read(np.full((120, 160, 3), 200, np.uint8)) == ()


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (31, 31), (32, 32)])
def test_odd_sizes_survive(reader: RapidTextReader, size: tuple[int, int]) -> None:
    assert reader.read(np.zeros((*size, 3), np.uint8)) == ()


def test_a_long_strip_is_read_in_its_own_pixels(reader: RapidTextReader) -> None:
    strip = np.full((40, 480, 3), 255, np.uint8)
    strip[:, :240] = sign(["COFFEE"], (160, 240))[18:58]
    (line,) = reader.read(strip)
    assert line.text == "COFFEE"
    assert line.box[2] < 240 and line.box[3] <= 40
