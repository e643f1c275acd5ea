"""Keyframes: thresholds that adapt, streaming that is causal and bounded."""

import numpy as np
import pytest

from stream.clock import NS_PER_S
from stream.errors import ConfigError
from stream.frame import Frame, Image, Keyframe
from stream.kde_gmm import BINS, ThresholdConfig, init_threshold, push
from stream.keyframes import KeyframeConfig, KeyframeSelector, KeyframeState

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


def test_slow_change_ends_a_segment() -> None:
    first, second = noisy(1, 1)[0].astype(float), noisy(2, 1)[0].astype(float)
    mixed = [(first * (1 - t) + second * t).astype(np.uint8) for t in np.linspace(0, 1, 60)]
    found = select(noisy(1, 20) + mixed + noisy(2, 5))
    assert any(reason == "drift" and 20 < index < 80 for index, reason in found)


def test_every_frame_twice_finds_the_same_cuts() -> None:
    images = noisy(1, 30) + noisy(2, 25)
    doubled = [image for image in images for _ in range(2)]
    assert [index // 2 for index, _ in select(doubled)] == [0, 30]


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


def test_bad_settings() -> None:
    with pytest.raises(ConfigError, match="expected 0 < floor <= prior <= cap"):
        ThresholdConfig(prior=0.9)
    with pytest.raises(ConfigError, match="min_gap_ns"):
        KeyframeConfig(min_gap_ns=0)
