"""`foveal track` on a small folder of pictures, with random SAM 2 weights and with bad input."""

import asyncio
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from foveal.cli import main
from foveal.config.models import MaskletSettings
from foveal.jobs.stills import read_mask
from foveal.jobs.tracking import Cue, TrackRequest, follow_clip
from perception.masks.prompts import BoxPrompt, PointsPrompt
from stream.geometry import Rle, decode_mask
from stream.sources.skipping import SkipPolicy
from tests.doubles.sam2_random import random_model, tiny_config

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


def lines_of(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "regions.jsonl").read_text().splitlines()]


def test_objects_start_and_stop_at_different_times(
    clip: Path, weights: Path, tmp_path: Path
) -> None:
    cues = ["--box", "20,28,62,68", "--at", "0.2", "--point", "50,48;-5,5", "--at", "0.4"]
    flags = ["--no-video", "--tracker", f"sam2:{weights}", "--out", str(tmp_path)]
    # The first --at holds for what stands before it too, so the run begins at 0.2 s.
    assert main(["track", str(clip), *cues, "--remove", "1", *flags]) == 0
    shown = {line["pts_ns"]: [one["id"] for one in line["regions"]] for line in lines_of(tmp_path)}
    assert shown == {200_000_000: [1, 2], 300_000_000: [1, 2], 400_000_000: [2], 500_000_000: [2]}


def test_a_later_prompt_that_is_refused_leaves_the_others(
    clip: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cues = ["--at", "0", "--box", "20,28,62,68", "--at", "0.2", "--point", "500,5"]
    flags = ["--no-video", "--tracker", f"sam2:{weights}", "--out", str(tmp_path), "--json"]
    assert main(["track", str(clip), *cues, *flags]) == 1
    summary = json.loads(capsys.readouterr().out)
    assert summary["frames"] == COUNT and summary["in_view"].keys() == {"1"}
    assert "inside the 128x96 frame" in summary["refused_prompts"]["2"]
    assert len(lines_of(tmp_path)) == COUNT and not summary["interrupted"]


def test_a_prompt_after_the_end_is_told_and_the_rest_kept(
    clip: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cues = ["--at", "0", "--box", "20,28,62,68", "--at", "9", "--box", "1,1,9,9"]
    flags = ["--no-video", "--tracker", f"sam2:{weights}", "--out", str(tmp_path)]
    assert main(["track", str(clip), *cues, *flags]) == 1
    assert "at or after 9 s" in capsys.readouterr().err
    assert len(lines_of(tmp_path)) == COUNT


def test_an_interrupted_run_keeps_its_frames(clip: Path, weights: Path, tmp_path: Path) -> None:
    request = TrackRequest(
        clip,
        tmp_path,
        (Cue(0, 1, BoxPrompt((20, 28, 62, 68))),),
        MaskletSettings(f"sam2:{weights}", precision="float32"),
    )

    async def interrupted() -> None:
        task = asyncio.current_task()
        assert task is not None

        def stop(done: int, total: int | None) -> None:
            if done == 3:
                task.cancel()  # what Ctrl-C does to the main task

        await follow_clip(request, stop)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(interrupted())
    assert len(lines_of(tmp_path)) == 3
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["interrupted"] and summary["frames"] == 3
    video = cv2.VideoCapture(str(tmp_path / "annotated.mp4"))
    assert int(video.get(cv2.CAP_PROP_FRAME_COUNT)) == 3


def test_live_leaves_out_late_frames_but_none_with_a_prompt(
    clip: Path, weights: Path, tmp_path: Path
) -> None:
    """Any work is late against a clock that allows nothing: only what is needed is done."""
    request = TrackRequest(
        clip,
        tmp_path,
        (Cue(0, 1, BoxPrompt((20, 28, 62, 68))), Cue(300_000_000, 2, PointsPrompt(((50, 48),)))),
        MaskletSettings(f"sam2:{weights}", precision="float32"),
        video=False,
        skipping=SkipPolicy(max_late_ns=0, max_run=100),
    )
    summary = asyncio.run(follow_clip(request))
    shown = {line["pts_ns"]: [one["id"] for one in line["regions"]] for line in lines_of(tmp_path)}
    assert shown[0] == [1] and shown[300_000_000] == [1, 2]
    skipped = summary["skipped"]
    assert summary["frames"] + skipped["late"] == COUNT
    assert skipped["kept_needed"] >= 1


BAD = [
    ("no prompt", [], "expected at least one --box"),
    ("box with words", ["--box", "a,b,c,d"], "expected --box X0,Y0,X1,Y1"),
    ("box with three numbers", ["--box", "1,2,3"], "expected --box X0,Y0,X1,Y1"),
    ("box outside", ["--box", "500,500,600,600"], "meets the 128x96 frame"),
    ("point outside", ["--point", "500,5"], "inside the 128x96 frame"),
    ("points off it only", ["--point=-50,48"], "at least one point on the thing"),
    ("mask absent", ["--mask", "absent.png"], "found none that can be read"),
    ("time past the end", ["--box", "1,1,9,9", "--at", "60"], "the clip ends before"),
    ("negative time", ["--box", "1,1,9,9", "--at", "-1"], "0 seconds or more"),
    ("no duration", ["--box", "1,1,9,9", "--duration", "0"], "more than 0 seconds"),
    ("removed before its start", ["--box", "1,1,9,9", "--remove", "1"], "after its start"),
    ("unknown removed", ["--at", "1", "--box", "1,1,9,9", "--remove", "7"], "1 to 1 after"),
    ("odd size", ["--box", "1,1,9,9", "--image-size", "100"], "multiple of 64"),
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


TRACKERS = [
    pytest.param("sam2", id="sam2"),
    pytest.param("embedded", id="embedded", marks=pytest.mark.assets),
]


@pytest.mark.parametrize("tracker", TRACKERS)
@pytest.mark.parametrize(
    ("mask", "reason"), [((HEIGHT, WIDTH), "at least one pixel"), ((9, 9), "frame's size")]
)
def test_an_unusable_mask_leaves_the_other_object(
    clip: Path, weights: Path, tmp_path: Path, tracker: str, mask: tuple[int, int], reason: str
) -> None:
    picture = np.zeros(mask, np.uint8) if mask == (HEIGHT, WIDTH) else np.full(mask, 255, np.uint8)
    cv2.imwrite(str(tmp_path / "mask.png"), picture)
    cues = ["--box", "20,28,62,68", "--mask", str(tmp_path / "mask.png"), "--box", "500,1,600,9"]
    name = f"sam2:{weights}" if tracker == "sam2" else tracker
    out = tmp_path / "out"
    flags = ["--no-video", "--duration", "0.2", "--tracker", name, "--out", str(out)]
    assert main(["track", str(clip), *cues, *flags]) == 1
    summary = json.loads((out / "summary.json").read_text())
    assert summary["frames"] == 2 and list(summary["in_view"]) == ["1"]
    assert reason in summary["refused_prompts"]["2"]
    assert "meets the 128x96 frame" in summary["refused_prompts"]["3"]


@pytest.mark.parametrize("tracker", TRACKERS)
def test_a_size_that_changes_mid_stream_and_too_many_objects(
    clip: Path, weights: Path, tmp_path: Path, tracker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foveal.jobs.followers.MAX_OBJECTS", 3)
    folder = tmp_path / "turned"
    folder.mkdir()
    for index, path in enumerate(sorted(clip.glob("*.png"))[:2]):
        picture = cv2.imread(str(path))
        assert picture is not None
        cv2.imwrite(str(folder / path.name), picture if index == 0 else picture[:, :96].copy())
    cues = [part for at in range(5) for part in ("--box", f"{at},{at // 2},{at + 20},{at + 9}")]
    name = f"sam2:{weights}" if tracker == "sam2" else tracker
    out = tmp_path / "out"
    assert (
        main(["track", str(folder), *cues, "--no-video", "--tracker", name, "--out", str(out)]) == 1
    )
    summary = json.loads((out / "summary.json").read_text())
    assert list(summary["refused_prompts"]) == ["4", "5"]
    assert "at most 3 masklets" in summary["refused_prompts"]["5"]
    assert [len(line["regions"]) for line in lines_of(out)] == [3, 3]
    assert lines_of(out)[1]["regions"][0]["mask"]["size"] == [96, 96]


def test_an_unknown_tracker_or_clip_is_refused(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    box = ["--box", "1,1,9,9", "--out", str(tmp_path)]
    assert main(["track", str(clip), *box, "--tracker", "magic"]) == 1
    assert "expected a tracker embedded, sam2:ID, edgetam:ID or sam3:ID" in capsys.readouterr().err
    assert main(["track", str(tmp_path / "absent.mp4"), *box]) == 1
    assert "nothing is there" in capsys.readouterr().err


def test_weights_out_of_reach_say_what_to_do(
    clip: Path,
    weights: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    box = ["track", str(clip), "--box", "1,1,9,9", "--out", str(tmp_path)]
    absent = tmp_path / "no-such-folder" / "deep" / "weights"  # no hub id has three slashes
    assert main([*box, "--tracker", f"sam2:{absent}"]) == 1
    error = capsys.readouterr().err
    assert "are out of reach" in error and "hf download" in error and "embedded" in error
    assert main([*box, "--tracker", f"edgetam:{weights}"]) == 1
    assert f"write sam2:{weights}" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_a_mask_is_the_same_in_every_format(tmp_path: Path, suffix: str) -> None:
    drawn = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.circle(drawn, (60, 48), 30, 255, -1)
    path = tmp_path / f"mask{suffix}"
    cv2.imwrite(str(path), drawn)  # JPEG and WebP leave small values around the shape
    assert np.count_nonzero(read_mask(path) != (drawn > 0)) <= 4


def test_a_mask_may_be_labels_or_transparency(tmp_path: Path) -> None:
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[20:40, 20:40], labels[20:40, 60:80] = 1, 200
    cv2.imwrite(str(tmp_path / "labels.png"), labels)
    assert read_mask(tmp_path / "labels.png").sum() == 800
    clear = np.full((HEIGHT, WIDTH, 4), 255, np.uint8)
    clear[..., 3] = 0
    clear[20:40, 20:40, 3] = 255
    cv2.imwrite(str(tmp_path / "clear.png"), clear)
    assert read_mask(tmp_path / "clear.png").sum() == 400
