"""Boxes and points that begin outside the picture, as detectors give them."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from foveal.cli import EXIT_OK, main

pytestmark = pytest.mark.assets


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("picture") / "p.png"
    image = np.full((120, 160, 3), 90, np.uint8)
    image[:40, :40] = (30, 60, 220)
    cv2.imwrite(str(path), image)
    return path


@pytest.mark.parametrize("given", [["--box", "-3,-3,40,40"], ["--box=-3,-3,40,40"]])
def test_segment(
    picture: Path, tmp_path: Path, given: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "mask.png"), "--json"]
    assert main(["segment", str(picture), *given, *out]) == EXIT_OK
    assert json.loads(capsys.readouterr().out)["box"][:2] == [0, 0]


def test_track(picture: Path, tmp_path: Path) -> None:
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip" / "0.png").write_bytes(picture.read_bytes())
    given = ["--box", "-3,-3,40,40", "--no-video", "--out", str(tmp_path / "out")]
    assert main(["track", str(tmp_path / "clip"), *given]) == EXIT_OK
