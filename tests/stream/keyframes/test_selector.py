"""Keyframes: thresholds that adapt, streaming that is causal and bounded."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stream.clock import NS_PER_S
from stream.errors import ConfigError
from stream.frame import Frame, Image, Keyframe
from stream.keyframes.descriptor import describe, distance, drift
from stream.keyframes.gates import KeyframeConfig, ThresholdConfig
from stream.keyframes.kde_gmm import BINS, CENTRES, fit, init_threshold, push
from stream.keyframes.selector import KeyframeSelector, KeyframeState

FPS = 10
CONFIG = ThresholdConfig()


def noisy(seed: int, count: int, size: tuple[int, int] = (72, 128)) -> list[Image]:
    """A scene: one random blocky picture that trembles, with sensor noise."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(30, 220, (size[0] // 8 + 2, size[1] // 8 + 2, 3)).astype(np.uint8)
    picture = np.kron(blocks, np.ones((8, 8, 1), np.uint8))
    out = []
    for _ in range(count):
        dy, dx = rng.integers(0, 3, 2)
        view = picture[dy : dy + size[0], dx : dx + size[1]].astype(np.int16)
        out.append(np.clip(view + rng.integers(-6, 7, view.shape), 0, 255).astype(np.uint8))
    return out


def select(images: list[Image], config: KeyframeConfig | None = None) -> list[tuple[int, str]]:
    return [(index, key.reason) for index, key in run(images, config)[1]]


def run(
    images: list[Image], config: KeyframeConfig | None = None
) -> tuple[KeyframeState, list[tuple[int, Keyframe]]]:
    selector = KeyframeSelector(config)
    state, found = selector.init_state(), []
    for index, image in enumerate(images):
        frame = Frame(index * NS_PER_S // FPS, 0, image, "test")
        state, key = selector.step(state, frame)
        if key is not None:
            found.append((index, key))
    return state, found


def test_cuts_are_found_at_their_frame() -> None:
    images = noisy(1, 30) + noisy(2, 25) + noisy(3, 30)
    assert select(images) == [(0, "first"), (30, "scene"), (55, "scene")]


def test_decisions_are_causal() -> None:
    images = noisy(1, 30) + noisy(2, 25) + noisy(3, 30)
    whole = select(images)
    for end in (10, 31, 60):
        assert select(images[:end]) == [key for key in whole if key[0] < end]


def test_a_still_scene_gives_one_keyframe_per_interval() -> None:
    images = noisy(1, 1) * 250
    assert select(images) == [(0, "first"), (100, "interval"), (200, "interval")]


def test_a_black_screen_gives_no_keyframes() -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 4, (72, 128, 3)).astype(np.uint8) for _ in range(90)]
    assert select(images) == [(0, "first")]


@pytest.mark.parametrize("level", [0, 255])
@pytest.mark.parametrize("length", [1, 3, 9])
def test_a_flash_or_a_lost_picture_is_no_keyframe(level: int, length: int) -> None:
    flat = [np.full((72, 128, 3), level, np.uint8)] * length
    still, after = noisy(1, 1), noisy(2, 20)
    assert select(still * 30 + flat + still * 30) == [(0, "first")]
    cut = 30 + length  # behind it lies another scene
    assert select(still * 30 + flat + after) == [(0, "first"), (cut, "scene")]


def test_a_picture_that_stays_dark_is_a_scene() -> None:
    dark, still = [np.zeros((72, 128, 3), np.uint8)] * 30, noisy(1, 1)
    found = select(still * 30 + dark + still * 30)
    assert found == [(0, "first"), (40, "scene"), (60, "scene")]


def test_slow_change_ends_a_segment() -> None:
    first, second = noisy(1, 1)[0].astype(float), noisy(2, 1)[0].astype(float)
    mixed = [(first * (1 - t) + second * t).astype(np.uint8) for t in np.linspace(0, 1, 60)]
    found = select(noisy(1, 20) + mixed + noisy(2, 5))
    assert any(reason == "drift" and 20 < index < 80 for index, reason in found)


def test_every_frame_twice_finds_the_same_cuts() -> None:
    images = noisy(1, 30) + noisy(2, 25)
    doubled = [image for image in images for _ in range(2)]
    assert [index // 2 for index, _ in select(doubled)] == [0, 30]


def test_a_fade_from_black_is_not_a_scene() -> None:
    images = noisy(3, 100)
    faded = [(im * min(1.0, max(0, i - 15) / 80)).astype(np.uint8) for i, im in enumerate(images)]
    found = select(faded)
    assert "drift" in [reason for _, reason in found]
    assert all(reason != "scene" and (index == 0 or index > 15) for index, reason in found)


def test_a_cut_just_after_an_interval_keyframe_is_found() -> None:
    images = noisy(1, 1) * 101 + noisy(2, 20)
    assert select(images) == [(0, "first"), (100, "interval"), (101, "scene")]


def test_a_dark_cut_is_found() -> None:
    images = [(image * 0.4).astype(np.uint8) for image in noisy(1, 30) + noisy(2, 30)]
    assert select(images) == [(0, "first"), (30, "scene")]


def test_measuring_then_deciding_is_stepping() -> None:
    images = noisy(1, 30) + noisy(2, 25)
    selector = KeyframeSelector()
    state, found = selector.init_state(), []
    for index, image in enumerate(images):
        frame = Frame(index * NS_PER_S // FPS, 0, image, "test")
        reason, _ = selector.decide(state, frame.pts_ns, *selector.measure(state, frame))
        if reason is not None:
            found.append((index, reason))
    assert found == select(images)


def test_exposure_change_is_not_a_scene() -> None:
    images = noisy(1, 60)
    dimmed = [np.clip(im * (1 - 0.005 * i), 0, 255).astype(np.uint8) for i, im in enumerate(images)]
    assert select(dimmed) == [(0, "first")]


def test_frame_size_may_change() -> None:
    found = select(noisy(1, 20) + noisy(1, 20, size=(144, 256)))
    assert found[0] == (0, "first") and len(found) <= 2


@pytest.mark.parametrize("rate,floor", [(0.02, 0.95), (0.005, 0.9)])
def test_threshold_separates_a_lognormal_mixture(rate: float, floor: float) -> None:
    rng = np.random.default_rng(7)
    state, truth, said = init_threshold(CONFIG), [], []
    for _ in range(20_000):
        event = rng.random() < rate
        value = float(np.exp(rng.normal(np.log(0.25) if event else np.log(0.02), 0.35)))
        truth.append(event)
        said.append(value >= state.tau)
        push(state, value, CONFIG)
    t, s = np.array(truth[500:]), np.array(said[500:])
    assert 2 * (t & s).sum() / (t.sum() + s.sum()) >= floor


def test_threshold_state_does_not_grow() -> None:
    state = init_threshold(CONFIG)
    for index in range(30_000):
        push(state, 0.01 + 0.02 * (index % 7), CONFIG)
    assert state.histogram.shape == (BINS,)
    assert np.isfinite(state.histogram).all() and CONFIG.floor <= state.tau <= CONFIG.cap


def test_duplicates_and_nan_are_not_learned() -> None:
    state = init_threshold(CONFIG)
    for value in (0.0, 1e-3, float("nan"), float("inf")):
        push(state, value, CONFIG)
    assert state.samples == 0 and state.tau == CONFIG.prior


def test_a_skewed_everyday_class_does_not_drag_the_threshold() -> None:
    # Still, walking and running: three everyday modes in a row, then cuts far above them.
    rng = np.random.default_rng(3)
    state, false, missed = init_threshold(CONFIG), 0, 0
    for index in range(12_000):
        cut = index % 60 == 59
        centre = 0.35 if cut else (0.004, 0.012, 0.03)[index // 500 % 3]
        value = centre * math.exp(rng.normal(0, 0.3))
        if index > 2_000:
            false += value >= state.tau and not cut
            missed += value < state.tau and cut
        push(state, value, CONFIG)
    assert false + missed <= 4
    assert 0.06 < state.tau < 0.25


def test_two_gaussians_meet_where_their_posteriors_do() -> None:
    config = ThresholdConfig(floor=0.001, prior=0.1, cap=1.0)
    low, high, spread = math.log(0.02), math.log(0.3), 0.4
    density = [np.exp(-0.5 * ((CENTRES - mean) / spread) ** 2) for mean in (low, high)]
    histogram = 3000 * (0.9 * density[0] + 0.1 * density[1]) / density[0].sum()
    tau, how = fit(histogram, config)
    # Equal spreads: the crossing has a closed form.
    expected = (low + high) / 2 + spread**2 * math.log(9) / (high - low)
    assert how == "mixture" and math.log(tau) == pytest.approx(expected, abs=0.05)


@settings(max_examples=60, deadline=None)
@given(arrays(np.float64, BINS, elements=st.floats(0, 1e6)))
def test_any_histogram_gives_a_threshold_in_range(histogram: np.ndarray) -> None:
    tau, how = fit(histogram, CONFIG)
    assert CONFIG.floor <= tau <= CONFIG.cap
    assert how in ("prior", "mixture", "antimode", "rescue", "median")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=300))
def test_any_distances_keep_the_state_sound(values: list[float]) -> None:
    config = ThresholdConfig(min_samples=8, refit_every=8, half_life=5)
    state = init_threshold(config)
    for value in values:
        push(state, value, config)
    assert config.floor <= state.tau <= config.cap and np.isfinite(state.histogram).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (63, 65), (481, 853), (2160, 3840)])
def test_frames_of_any_size_have_a_descriptor(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 255, (*size, 3)).astype(np.uint8)
    seen, other = describe(image), describe(255 - image)
    assert distance(seen, seen) < 1e-3 < distance(seen, other) <= 1
    assert float(np.square(seen.colours).sum()) == pytest.approx(1, abs=1e-4)
    assert 0 <= drift(seen.layout, other.layout) <= 1


def test_a_flat_picture_is_unrelated_to_a_scene_and_like_another_flat_one() -> None:
    black, grey = (describe(np.full((48, 64, 3), shade, np.uint8)) for shade in (0, 128))
    scene = describe(noisy(1, 1)[0])
    assert drift(black.layout, scene.layout) == pytest.approx(0.5)
    assert drift(black.layout, grey.layout) == 0
    assert drift(scene.layout, scene.layout) == pytest.approx(0, abs=1e-5)


def test_bad_settings() -> None:
    with pytest.raises(ConfigError, match="expected 0 < floor <= prior <= cap"):
        ThresholdConfig(prior=0.9)
    with pytest.raises(ConfigError, match="min_gap_ns"):
        KeyframeConfig(min_gap_ns=0)
    with pytest.raises(ConfigError, match="drift_gap_ns"):
        KeyframeConfig(drift_gap_ns=-1)
