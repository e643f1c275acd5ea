"""Words: guards, what is refused, and the real model on synthesised speech."""

import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks.word_errors import word_errors
from devices.audio.pcm import HEARING_HZ, as_mono
from devices.audio.resample import Resampler
from devices.listening.whisper import (
    GuardConfig,
    Transcript,
    WhisperTranscriber,
    compression,
    doubt,
    once,
)
from devices.speaking.speaker import HibariSpeaker
from stream.errors import AssetError, ConfigError, DeviceError


@pytest.mark.parametrize(
    ("heard", "cause"),
    [
        (Transcript("What is this?", 0.1, -0.2, 0.8), None),
        (Transcript("What is this?", 0.9, -0.2, 0.8), None),  # sure of its words
        (Transcript("Thank you.", 0.9, -1.1, 0.8), "no speech"),
        (Transcript("is center of the", 0.2, -1.9, 0.8), "not understood"),
        (Transcript("the " * 40, 0.1, -0.2, compression("the " * 40)), "repetition"),
        (Transcript(" ... ", 0.1, -0.2, 0.8), "no words"),
        (Transcript("", 0.1, -0.2, 0.8), "no words"),
    ],
)
def test_what_is_believed(heard: Transcript, cause: str | None) -> None:
    assert doubt(heard, GuardConfig()) == cause


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Read the package. read the package", "Read the package."),
        ("What is this?", "What is this?"),
        ("no no", "no no"),
        ("is it this or is it that", "is it this or is it that"),
        ("", ""),
    ],
)
def test_what_is_doubled_is_said_once(text: str, kept: str) -> None:
    assert once(text) == kept


def test_a_question_is_no_repetition() -> None:
    assert compression("What is this on the table, and who makes the coffee machine?") < 1.5


def test_missing_files_and_bad_settings(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match=r"model\.bin and tokenizer\.json"):
        WhisperTranscriber(tmp_path)
    with pytest.raises(ConfigError, match="beam"):
        WhisperTranscriber(tmp_path, beam=0)
    (tmp_path / "model.bin").write_bytes(b"nothing")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(AssetError, match="CTranslate2"):
        WhisperTranscriber(tmp_path)


@pytest.fixture(scope="module")
def whisper() -> WhisperTranscriber:
    cache = Path(os.environ.get("FOVEAL_CACHE", Path.home() / ".cache" / "foveal"))
    try:
        return WhisperTranscriber(cache / "whisper-tiny-en")
    except AssetError as error:
        pytest.skip(str(error))


@pytest.mark.assets
def test_synthesised_questions_are_understood(whisper: WhisperTranscriber) -> None:
    speaker = HibariSpeaker()
    resampler = Resampler(speaker.sample_rate)
    errors = total = 0
    for question in ("What is this on the table?", "How many people live in Paris?"):
        spoken = np.concatenate(list(speaker.synthesize(question)))
        sound = resampler.feed(as_mono(spoken)[0])
        heard = whisper.transcribe(sound)
        assert doubt(heard) is None
        wrong, count = word_errors(question, heard.text)
        errors, total = errors + wrong, total + count
    assert errors <= total // 6


@pytest.mark.assets
@pytest.mark.parametrize("name", ["silence", "dc", "noise", "clipped", "tiny", "empty"])
def test_sound_without_words_is_doubted(whisper: WhisperTranscriber, name: str) -> None:
    rng = np.random.default_rng(0)
    sounds = {
        "silence": np.zeros(HEARING_HZ),
        "dc": np.full(HEARING_HZ, 0.5),
        "noise": 0.1 * rng.standard_normal(2 * HEARING_HZ),
        "clipped": np.sign(rng.standard_normal(2 * HEARING_HZ)),
        "tiny": np.zeros(10),
        "empty": np.zeros(0),
    }
    assert doubt(whisper.transcribe(sounds[name].astype(np.float32))) is not None


@pytest.mark.assets
def test_other_sound_is_refused(whisper: WhisperTranscriber) -> None:
    for sound in (np.zeros(31 * HEARING_HZ, np.float32), np.zeros((2, 100), np.float32)):
        with pytest.raises(DeviceError, match="30 s"):
            whisper.transcribe(sound)


@pytest.mark.assets
def test_nonsense_is_read_again_with_all_that_the_network_knows(
    whisper: WhisperTranscriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = "the " * 40
    heard = {
        1000: Transcript(loop, 0.1, -0.2, compression(loop)),
        3000: Transcript("What is this?", 0.1, -0.3),
    }
    frames_read: list[int] = []

    def read(mel: object, frames: int) -> Transcript:
        frames_read.append(frames)
        return heard[frames]

    monkeypatch.setattr(whisper, "_read", read)
    assert whisper.transcribe(np.zeros(HEARING_HZ, np.float32)).text == "What is this?"
    heard[1000] = Transcript("Where is it?", 0.1, -0.2)
    assert whisper.transcribe(np.zeros(HEARING_HZ, np.float32)).text == "Where is it?"
    assert frames_read == [1000, 3000, 1000]
