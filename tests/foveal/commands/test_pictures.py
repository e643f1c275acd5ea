"""`foveal pictures`: built and searched with a small CLIP by the real path, masks from a file."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from foveal.cli import EXIT_FAILED, EXIT_OK, main
from tests.doubles.encoder_random import save_hf

Printed = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "clip"
    save_hf("clip", folder)
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two pictures of noise, a broken one and a file of masks."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(2):
        noise = np.random.default_rng(number).integers(0, 255, (30, 40, 3), np.uint8)
        Pillow.fromarray(noise).save(folder / f"{number}<b>.png")
    (folder / "broken.jpg").write_bytes(b"no picture")
    table = {
        "images": [
            {"id": n, "file_name": f"{n}<b>.png", "height": 30, "width": 40} for n in range(2)
        ],
        "annotations": [{"image_id": 0, "segmentation": [[5, 5, 20, 5, 20, 20, 5, 20]]}],
    }
    (tmp_path / "masks.json").write_text(json.dumps(table), encoding="utf-8")
    return folder


def told(capsys: Printed, *words: str) -> Any:
    assert main(["pictures", *words, "--json"]) == EXIT_OK
    return json.loads(capsys.readouterr().out)


def test_build_and_search(clip: Path, photos: Path, capsys: Printed) -> None:
    masks = str(photos.parent / "masks.json")
    build = ["build", str(photos), "--masks", masks, "--encoder", f"hf:{clip}"]
    change = told(capsys, *build)
    assert (change["added"], change["regions"]) == (2, 1)
    assert [one for one in change["refused"] if one.startswith("broken.jpg")]
    assert told(capsys, *build)["unchanged"] == 2
    index, page = change["folder"], photos.parent / "found.html"
    assert index == str(photos.parent / "photos.pictures")
    found = told(capsys, "search", index, "a <i>cup</i>", "--html", str(page))["pictures"]
    assert {one["name"] for one in found} == {"0<b>.png", "1<b>.png"}
    (region,) = [one for one in found if one["name"] == "0<b>.png"]
    assert region["box"] == [5, 5, 21, 21] and region["mask"]["size"] == [30, 40]
    written = page.read_text(encoding="utf-8")
    assert written.count("data:image/jpeg") == 2 and "a &lt;i&gt;cup&lt;/i&gt;" in written
    assert not re.search(r"<script|https?:|<b>|<i>", written)

    image = str(photos / "0<b>.png")
    boxed = told(capsys, "search", index, "--image", image, "--box", "5,5,21,21", "-k", "1")
    assert boxed["kind"] == "region" and boxed["pictures"][0]["region"] == pytest.approx(
        1, abs=0.02
    )
    (photos / "0<b>.png").unlink()  # the page says so, and the others are shown
    assert told(capsys, "search", index, "cup", "--html", str(page))["pictures"]
    assert page.read_text(encoding="utf-8").count("data:image/jpeg") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["search", "absent", "cup"], "found none"),
        (["search", "absent"], "either words"),
        (["search", "absent", "cup", "--box", "1,1,2,2"], "--image"),
        (["search", "absent", "--image", "x", "--rerank", "openai:http://a/v1#m"], "--rerank"),
        (["build", "absent"], "a folder of pictures"),
    ],
)
def test_what_is_refused(tmp_path: Path, capsys: Printed, words: list[str], said: str) -> None:
    there = [str(tmp_path / word) if word == "absent" else word for word in words]
    assert main(["pictures", *there]) == EXIT_FAILED
    assert said in capsys.readouterr().err
