"""Voices: what they say, and what they do with text that nobody can say."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from devices.audio.wav import parse_wav, write_wav
from devices.speaking.speaker import (
    EspeakSpeaker,
    HibariSpeaker,
    Speaker,
    open_speaker,
    trim_silence,
)
from stream.errors import AssetError, DeviceError
from tests.doubles.devices import ToneSpeaker

ODD_TEXTS = [
    "e.g. Dr. Smith paid $9.99 on 12/03/2024 at 7:30 pm, i.e. 3.5 km/h, 1st, IV, ½.",
    "1" * 300,
    "1,234,567,890,123,456,789.00001 and 9" + "9" * 40 + "th",
    "It is " + ",".join(["999"] * 30) + ", or so.",
    "x" * 700,
    "\x00\x1b[31mred\x07 <search> tag </search> [[f@]]",
    "café 🙂 日本語 привет مرحبا ∞ ≠ \ud800",
    "no end " * 60,
]
SILENT_TEXTS = ["", "   \n\t", "\x00\x01\x02", "?!… — 🙂"]


@pytest.fixture(scope="module")
def hibari() -> HibariSpeaker:
    return HibariSpeaker()


def _espeak() -> EspeakSpeaker:
    if shutil.which("espeak-ng") is None:
        pytest.skip("the program espeak-ng is not installed")
    return EspeakSpeaker()


def _check(speaker: Speaker, text: str) -> None:
    for chunk in speaker.synthesize(text):
        assert chunk.dtype == np.int16 and chunk.ndim == 1 and len(chunk) > 0


@pytest.mark.parametrize("text", ODD_TEXTS, ids=range(len(ODD_TEXTS)))
def test_odd_text_is_spoken(hibari: HibariSpeaker, text: str) -> None:
    _check(hibari, text)


@pytest.mark.parametrize("text", SILENT_TEXTS, ids=range(len(SILENT_TEXTS)))
def test_nothing_to_say(hibari: HibariSpeaker, text: str) -> None:
    assert list(hibari.synthesize(text)) == []
    assert list(ToneSpeaker().synthesize(text)) == []


def test_hibari_speaks_sentence_by_sentence(hibari: HibariSpeaker) -> None:
    text = "It is an espresso. It was first made in Italy."
    chunks = list(hibari.synthesize(text))
    assert len(chunks) == 2
    assert all(0.5 < len(chunk) / hibari.sample_rate < 5 for chunk in chunks)
    assert all(np.abs(chunk).max() > 1000 for chunk in chunks)
    again = np.concatenate(list(hibari.synthesize(text)))
    np.testing.assert_array_equal(np.concatenate(chunks), again)


def test_hibari_makes_the_first_sentence_before_the_rest(hibari: HibariSpeaker) -> None:
    stream = hibari.synthesize("Yes. " * 100_000)  # over a day of speech, were it made whole
    assert len(next(stream)) > 1000


def test_hibari_voices_are_not_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIBARI_HOME", str(tmp_path))
    with pytest.raises(AssetError, match="not on this machine"):
        HibariSpeaker("emma")
    with pytest.raises(AssetError, match="heart"):
        HibariSpeaker("nobody")
    with pytest.raises(DeviceError, match="speed"):
        HibariSpeaker(speed=9)


def test_espeak_speaks() -> None:
    speaker = _espeak()
    chunks = list(speaker.synthesize("It is an espresso. It was first made in Italy."))
    assert len(chunks) == 2
    assert all(0.5 < len(chunk) / speaker.sample_rate < 5 for chunk in chunks)
    for text in (*ODD_TEXTS[:5], "$(reboot) `id` ; ls | cat > /dev/null"):
        _check(speaker, text)
    assert list(speaker.synthesize(SILENT_TEXTS[2])) == []


def test_espeak_without_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(AssetError, match="install it"):
        EspeakSpeaker()


def _program(folder: Path, script: str) -> str:
    path = folder / "speak"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_espeak_that_fails(tmp_path: Path) -> None:
    program = _program(tmp_path, "cat > /dev/null; echo no such voice >&2; exit 3")
    with pytest.raises(DeviceError, match="no such voice"):
        list(EspeakSpeaker(program=program).synthesize("Hello."))


def test_espeak_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devices.speaking.speaker.ESPEAK_TIMEOUT_S", 0.2)
    with pytest.raises(DeviceError, match="did not end"):
        list(EspeakSpeaker(program=_program(tmp_path, "exec sleep 30")).synthesize("Hello."))


def test_espeak_that_says_no_wav(tmp_path: Path) -> None:
    program = _program(tmp_path, "cat > /dev/null; echo hello")
    with pytest.raises(DeviceError, match="WAV"):
        list(EspeakSpeaker(program=program).synthesize("Hello."))


def test_open_speaker() -> None:
    assert open_speaker("none") is None
    speaker = open_speaker("hibari")
    assert speaker is not None and speaker.name == "hibari"


def test_the_fake_remembers_what_it_said() -> None:
    speaker = ToneSpeaker()
    chunks = list(speaker.synthesize("One. Two."))
    assert speaker.spoken == ["One.", "Two."]
    assert [len(chunk) for chunk in chunks] == [4 * 800, 4 * 800]


@pytest.mark.assets
def test_a_listener_understands_hibari(hibari: HibariSpeaker, tmp_path: Path) -> None:
    whisper = pytest.importorskip("faster_whisper")
    from foveal.assets.registry import asset_path

    try:
        folder = asset_path("whisper-tiny-en", "model.bin").parent
    except AssetError as error:
        pytest.skip(str(error))
    text = "The coffee in this cup was first made in Italy."
    path = tmp_path / "a.wav"
    write_wav(path, hibari.synthesize(text), hibari.sample_rate)
    samples, rate = parse_wav(path.read_bytes())
    times = np.arange(0, len(samples), rate / 16_000)
    audio = np.interp(times, np.arange(len(samples)), samples).astype(np.float32) / 32768
    threads = min(2, os.cpu_count() or 1)
    model = whisper.WhisperModel(str(folder), device="cpu", cpu_threads=threads)
    heard = " ".join(part.text for part in model.transcribe(audio, language="en")[0]).lower()
    words = text.lower().rstrip(".").split()
    assert sum(word in heard for word in words) >= len(words) - 1, heard


def test_silence_around_speech_is_trimmed() -> None:
    speech = np.full(1000, 500, np.int16)
    quiet = np.full(5000, 3, np.int16)
    sound = np.concatenate([quiet, speech, quiet])
    assert len(trim_silence(sound, 10_000)) == 200 + 1000 + 5000
    assert len(trim_silence(sound, 10_000, end=True)) == 200 + 1000 + 200
    assert len(trim_silence(speech, 10_000, end=True)) == 1000
    assert len(trim_silence(quiet[:0], 10_000)) == 0
    assert len(trim_silence(0 * quiet, 10_000)) == 0


def test_hibari_s_silence_is_trimmed_and_no_speech(hibari: HibariSpeaker) -> None:
    (sound,) = hibari.synthesize("This is an espresso.")
    trimmed = trim_silence(sound, hibari.sample_rate, end=True)
    assert 0.3 * hibari.sample_rate < len(sound) - len(trimmed) < 0.8 * hibari.sample_rate
    assert np.abs(sound.astype(int)).sum() < 1.01 * np.abs(trimmed.astype(int)).sum()
