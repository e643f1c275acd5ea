"""`foveal track` on a small folder of pictures, with random SAM 2 weights and with bad input."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from foveal.cli import main
from perception.sam2_random import random_model, tiny_config
from stream.masks import Rle, decode_mask

HEIGHT, WIDTH, COUNT = 96, 128, 6


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    for index in range(COUNT):
        picture = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
        cv2.circle(picture, (40 + 4 * index, 48), 18, (30, 60, 220), -1)
        cv2.imwrite(str(folder / f"{index:03d}.png"), picture)
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    random_model(tiny_config(64, 64), seed=1).save_pretrained(folder)
    return folder


def test_results_are_written(clip: Path, weights: Path, tmp_path: Path) -> None:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.circle(mask, (40, 48), 18, 255, -1)
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    out = tmp_path / "out"
    given = ["--box", "20,28,62,68", "--mask", str(tmp_path / "mask.png")]
    code = main(
        ["track", str(clip), *given, "--tracker", f"sam2:{weights}", "--out", str(out), "--json"]
    )
    assert code == 0
    lines = [json.loads(line) for line in (out / "regions.jsonl").read_text().splitlines()]
    assert len(lines) == COUNT and [one["id"] for one in lines[0]["regions"]] == [1, 2]
    second = lines[0]["regions"][1]
    rle = Rle(tuple(second["mask"]["size"]), tuple(second["mask"]["counts"]))
    assert ((decode_mask(rle)) == (mask > 0)).mean() > 0.97
    x, y = second["point"]
    assert mask[y, x] and second["box"][0] <= x < second["box"][2]
    assert json.loads((out / "summary.json").read_text())["frames"] == COUNT
    video = cv2.VideoCapture(str(out / "annotated.mp4"))
    assert int(video.get(cv2.CAP_PROP_FRAME_COUNT)) == COUNT


def test_prompts_start_at_their_time(clip: Path, weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    flags = ["--at", "0.3", "--duration", "0.2", "--no-video", "--out", str(out)]
    assert (
        main(["track", str(clip), "--point", "50,48", "--tracker", f"sam2:{weights}", *flags]) == 0
    )
    lines = [json.loads(line) for line in (out / "regions.jsonl").read_text().splitlines()]
    assert [line["pts_ns"] for line in lines] == [300_000_000, 400_000_000]
    assert not (out / "annotated.mp4").exists()


BAD = [
    ("no prompt", [], "expected at least one --box"),
    ("box with words", ["--box", "a,b,c,d"], "expected --box X0,Y0,X1,Y1"),
    ("box with three numbers", ["--box", "1,2,3"], "expected --box X0,Y0,X1,Y1"),
    ("box outside", ["--box", "500,500,600,600"], "meets the 128x96 frame"),
    ("point outside", ["--point", "500,5"], "inside the 128x96 frame"),
    ("mask absent", ["--mask", "absent.png"], "found none that can be read"),
    ("time past the end", ["--box", "1,1,9,9", "--at", "60"], "the clip ends before"),
    ("negative time", ["--box", "1,1,9,9", "--at", "-1"], "0 seconds or more"),
]


@pytest.mark.parametrize(("flags", "reason"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_bad_input_is_refused_in_one_line(
    clip: Path,
    weights: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    flags: list[str],
    reason: str,
) -> None:
    code = main(
        ["track", str(clip), *flags, "--tracker", f"sam2:{weights}", "--out", str(tmp_path)]
    )
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert code == 1 and error.startswith("foveal: ") and reason in error


def test_an_unknown_tracker_or_clip_is_refused(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    box = ["--box", "1,1,9,9", "--out", str(tmp_path)]
    assert main(["track", str(clip), *box, "--tracker", "magic"]) == 1
    assert "expected --tracker embedded or sam2:" in capsys.readouterr().err
    assert main(["track", str(tmp_path / "absent.mp4"), *box]) == 1
    assert "nothing is there" in capsys.readouterr().err
