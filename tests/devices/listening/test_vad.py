"""Voice detection: the same whatever the blocks, the same as the package's own code."""

from pathlib import Path

import numpy as np
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.audio.pcm import HEARING_HZ, Sound
from devices.listening.vad import WINDOW, SileroDetector
from devices.speaking.speaker import EspeakSpeaker
from stream.errors import AssetError, DeviceError

pytest.importorskip("silero_vad")


@pytest.fixture(scope="module")
def detector() -> SileroDetector:
    return SileroDetector()


def buzz(seconds: float = 1.0) -> Sound:
    """Something like a voice: a pulse train with a formant, on and off."""
    times = np.arange(round(HEARING_HZ * seconds)) / HEARING_HZ
    pulses = np.sign(np.sin(2 * np.pi * 120 * times)) * np.sin(2 * np.pi * 700 * times)
    syllables = np.clip(np.sin(2 * np.pi * 4 * times), 0, 1)
    sound: Sound = (0.3 * pulses * syllables).astype(np.float32)
    return sound


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 1500), max_size=20))
def test_where_the_blocks_are_cut_changes_nothing(cuts: list[int]) -> None:
    detector, sound = SileroDetector(), buzz()
    _, wanted = detector.step(detector.init_state(), sound)
    state, found, at = detector.init_state(), [], 0
    for size in [*cuts, len(sound)]:
        state, new = detector.step(state, sound[at : at + size])
        found += new
        at += size
    assert found == wanted
    assert len(wanted) == HEARING_HZ // WINDOW


def test_the_package_itself_says_the_same(detector: SileroDetector) -> None:
    from silero_vad import load_silero_vad
    from torch import from_numpy

    theirs, sound = load_silero_vad(onnx=True), buzz()
    _, ours = detector.step(detector.init_state(), sound)
    windows = sound[: len(ours) * WINDOW].reshape(-1, WINDOW)
    wanted = [theirs(from_numpy(window), HEARING_HZ).item() for window in windows]
    assert np.allclose(ours, wanted, atol=1e-4)


@pytest.mark.parametrize("name", ["silence", "dc", "noise", "clipped noise", "sine", "picture"])
def test_what_is_no_voice(detector: SileroDetector, name: str) -> None:
    rng = np.random.default_rng(0)
    count = 2 * HEARING_HZ
    sounds = {
        "silence": np.zeros(count),
        "dc": np.full(count, 0.5),
        "noise": 0.1 * rng.standard_normal(count),
        "clipped noise": np.sign(rng.standard_normal(count)),
        "sine": 0.8 * np.sin(np.arange(count) * 0.17),
        "picture": skimage.data.camera().ravel()[:count] / 128 - 1,
    }
    _, found = detector.step(detector.init_state(), sounds[name].astype(np.float32))
    assert max(found) < 0.5


def test_a_voice_is_one(detector: SileroDetector) -> None:
    try:
        speaker = EspeakSpeaker()
    except AssetError as error:
        pytest.skip(str(error))
    from devices.audio.pcm import as_mono
    from devices.audio.resample import Resampler

    spoken = np.concatenate(list(speaker.synthesize("What is this on the table?")))
    resampler = Resampler(speaker.sample_rate)
    sound = resampler.feed(as_mono(spoken)[0])
    _, found = detector.step(detector.init_state(), sound)
    assert np.mean(np.array(found) > 0.5) > 0.6


def test_bad_input_and_a_missing_network(detector: SileroDetector, tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="float32"):
        detector.step(detector.init_state(), np.zeros(10, np.float64))
    with pytest.raises(AssetError, match="Silero"):
        SileroDetector(tmp_path / "nothing.onnx")
