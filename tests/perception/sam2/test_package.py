"""The streaming tracker against the `sam2` package: one checkpoint, same pictures, each part."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from skimage import data

from perception.masks.prompts import BoxPrompt, MaskPrompt, PointsPrompt
from perception.sam2.convert import RENAMES, rename
from perception.sam2.networks import Sam2Networks
from perception.sam2_tracking.open import load_sam2_tracker
from perception.sam2_tracking.reference import PackageSession, write_clip
from perception.sam2_tracking.state import Sam2Config
from perception.sam2_tracking.verification import (
    LIMITS,
    Agreement,
    Step,
    apart,
    compare,
    exact_config,
    verify,
)
from stream.frame import Frame, Image, Mask
from tests.doubles.sam2_random import random_predictor

pytest.importorskip("sam2", reason="the sam2 package is not installed")

SIDE = 128  # of the model's pictures
HEIGHT, WIDTH = 120, 160  # of the clip's


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def predictor() -> Any:
    return random_predictor(SIDE)


@pytest.fixture(scope="module")
def checkpoint(predictor: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("sam2") / "sam2.1_hiera_tiny.pt"
    torch.save({"model": predictor.state_dict()}, file)
    return file


def picture(index: int) -> Image:
    """A photograph that turns and grows."""
    still = cv2.resize(data.astronaut(), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    turn = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), 2.0 * index, 1 + 0.01 * index)
    return np.asarray(cv2.warpAffine(still, turn, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT))


def square(x: int, y: int, side: int = 40) -> Mask:
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[y : y + side, x : x + side] = True
    return mask


def agreement(
    predictor: Any, checkpoint: Path, folder: Path, frames: int, plan: list[Step], **changed: Any
) -> dict[str, Agreement]:
    config = replace(exact_config(frames), **changed)
    tracker = load_sam2_tracker(checkpoint, config, image_size=SIDE)
    folder.mkdir()
    clip = write_clip([picture(index) for index in range(frames)], folder)
    rows = compare(PackageSession(predictor, folder), tracker, clip, plan)
    return {row.component: row for row in rows}


ONE = PointsPrompt(((100.0, 40.0),))
CLICKS = PointsPrompt(((60.0, 60.0), (20.0, 20.0), (90.0, 80.0)), (True, False, True))
FIVE = [
    Step(0, 0, MaskPrompt(square(70, 60))),
    Step(0, 1, BoxPrompt((40, 30, 110, 110))),
    Step(0, 2, ONE),
    Step(0, 3, CLICKS),
    Step(3, 4, MaskPrompt(square(20, 20, 60))),
]
CORRECTIONS = [
    Step(4, 2, PointsPrompt(((80.0, 50.0), (30.0, 90.0)), (True, False))),
    Step(5, 0, ONE),
    Step(6, 1, BoxPrompt((50, 20, 120, 100))),
    Step(6, 3, MaskPrompt(square(50, 50))),
    Step(6, 1, CLICKS),
]
LONG = [Step(0, 0, MaskPrompt(square(50, 30))), Step(20, 0, CLICKS), Step(30, 0, ONE)]
PLANS = {
    "mask": (8, FIVE[:1]),
    "five and corrections": (8, FIVE + CORRECTIONS),
    "forty frames": (40, LONG),
}


@pytest.mark.parametrize("name", PLANS)
def test_every_part_equals_the_package(
    predictor: Any, checkpoint: Path, tmp_path: Path, name: str
) -> None:
    frames, plan = PLANS[name]
    rows = agreement(predictor, checkpoint, tmp_path / "clip", frames, plan)
    assert set(rows) == set(LIMITS)
    assert [row for row in rows.values() if not row.agrees] == []


@pytest.mark.parametrize(
    ("changed", "parts"),
    [
        ({"clip_frames": None}, {"mask logits"}),  # pointers by their time in a long clip
        ({"fill_hole_area": 0}, {"mask logits"}),
        ({"resize": "bilinear"}, {"pixels", "image features"}),
    ],
)
def test_each_option_away_from_the_package_shows(
    predictor: Any, checkpoint: Path, tmp_path: Path, changed: dict[str, Any], parts: set[str]
) -> None:
    rows = agreement(predictor, checkpoint, tmp_path / "clip", 8, FIVE, **changed)
    assert {name for name in parts if rows[name].agrees} == set()


def test_corrections_that_stay_are_an_option(
    predictor: Any, checkpoint: Path, tmp_path: Path
) -> None:
    plan = [FIVE[0], Step(3, 0, ONE)]
    rows = agreement(predictor, checkpoint, tmp_path / "a", 8, plan, keep_corrections=True)
    assert not rows["mask logits"].agrees, "they condition for good, here"
    predictor.add_all_frames_to_correct_as_cond = True
    try:
        rows = agreement(predictor, checkpoint, tmp_path / "b", 8, plan, keep_corrections=True)
    finally:
        predictor.add_all_frames_to_correct_as_cond = False
    assert [row for row in rows.values() if not row.agrees] == []


def test_mixed_is_as_exact_as_the_package_under_autocast(predictor: Any, checkpoint: Path) -> None:
    mixed = load_sam2_tracker(checkpoint, image_size=SIDE, precision="mixed").networks
    with torch.inference_mode():
        pixels = mixed.pixels(picture(0))
        exact = predictor.forward_image(pixels)["backbone_fpn"][-1]
        with torch.autocast("cpu", torch.bfloat16):
            half = predictor.forward_image(pixels)["backbone_fpn"][-1]
        tokens = mixed.features(picture(0)).tokens
    assert half.dtype == torch.float32 == tokens.dtype, "what lives on between layers"
    theirs = apart(half.float(), exact)
    assert 1e-3 < apart(tokens, exact[0].flatten(1).T) < 1.5 * theirs


@pytest.fixture(scope="module")
def networks(checkpoint: Path) -> Sam2Networks:
    return load_sam2_tracker(checkpoint, image_size=SIDE).networks


def test_parts_that_could_be_mistaken_differ_visibly(networks: Sam2Networks) -> None:
    """Ten times what the comparison lets pass, or it would say nothing."""
    with torch.inference_mode():
        seen = networks.features(picture(0))
        dense = networks.mask_tokens(networks.fit_mask(square(50, 30)))
        view = networks._as_map(seen.tokens[None])
        single = networks._decoder(seen, view, networks._no_points, dense, several=False)
        several = networks._decoder(seen, view, networks._no_points, dense, several=True)
        first, best = networks.choose(single), networks.choose(several)
        assert apart(best.pointers, first.pointers) > 10 * LIMITS["object pointers"]
        other = networks.adopt(seen, square(10, 60))
        assert apart(other.pointers, first.pointers) > 2 * LIMITS["object pointers"]


def test_memory_and_each_kind_of_it_show_in_the_logits(checkpoint: Path) -> None:
    tracker = load_sam2_tracker(checkpoint, Sam2Config(), image_size=SIDE)
    clip = [Frame(index * 1_000, 0, picture(index), "photo") for index in range(4)]
    state, _ = tracker.add(tracker.init_state(), clip[0], None, square(50, 30))
    for frame in clip[:3]:
        state, _ = tracker.step(state, frame)
    (track,) = state.tracks
    whole = tracker.step(state, clip[3])[0].tracks[0].logits
    memory = track.prompted[0]
    for changed in (
        replace(track, prompted=(replace(memory, tokens=memory.tokens * 0),)),
        replace(track, prompted=(replace(memory, pointer=memory.pointer * 0),)),
        replace(track, recent=()),
        replace(track, pointers=()),
    ):
        less = tracker.step(replace(state, tracks=(changed,)), clip[3])[0].tracks[0].logits
        assert apart(less, whole) > 3 * LIMITS["mask logits"]


def test_the_command_compares_a_checkpoint(checkpoint: Path) -> None:
    rows = verify(checkpoint, SIDE)
    assert [row.component for row in rows] == list(LIMITS)
    assert [row for row in rows if not row.agrees] == []


def test_every_parameter_has_its_place(predictor: Any) -> None:
    weights = predictor.state_dict()
    renamed = rename(weights)
    assert sum(v.numel() for v in weights.values()) <= sum(v.numel() for v in renamed.values())
    assert len(RENAMES) == len({pattern for pattern, _ in RENAMES})
