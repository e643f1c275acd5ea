"""Speech to text: whisper through CTranslate2, local files only.

Whisper was trained on 30 s of sound and costs the same for 2 s of speech. Its encoder also takes
less: 10 s cost a fifth of the time and hear short questions as well (docs/speech.md). Where that
gives a repetition or nonsense, all 30 s are used.
"""

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from devices.audio.pcm import HEARING_HZ, Sound
from stream.errors import AssetError, ConfigError, DeviceError

FRAME = 160  # samples of one mel frame
MAX_FRAMES = 3000  # 30 s
MAX_TOKENS, TOKENS_PER_S = 16, 8  # fast speech has five a second; bounds a repetition
COMPUTE_TYPES = {"cpu": "int8", "cuda": "int8_float16"}  # by CTranslate2's device
TAIL_FRAMES = 100  # silence after the speech, which whisper needs to end a sentence


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was heard, with what tells a hallucination."""

    text: str
    no_speech: float = 0.0  # 0..1: probability that nobody spoke
    log_probability: float = 0.0  # mean of a token, natural logarithm
    compression: float = 1.0  # size of the text over its zlib size: repetitions are high


class Transcriber(Protocol):
    """Hears words."""

    def transcribe(self, sound: Sound) -> Transcript:
        """Take [N] samples at 16 kHz, at most 30 s. Called on one thread at a time."""


@dataclass(frozen=True, slots=True)
class GuardConfig:
    """When a transcript is not believed (the thresholds of the whisper paper's decoder)."""

    max_no_speech: float = 0.6  # ... only together with:
    min_log_probability: float = -1.0
    min_certain: float = -1.4  # below this it is noise, whatever no_speech says
    max_compression: float = 2.4


def doubt(heard: Transcript, config: GuardConfig | None = None) -> str | None:
    """Why a transcript is not to be believed; None when it is."""
    config = config or GuardConfig()
    if not any(char.isalnum() for char in heard.text):
        return "no words"
    if heard.no_speech > config.max_no_speech and (
        heard.log_probability < config.min_log_probability
    ):
        return "no speech"
    if heard.log_probability < config.min_certain:
        return "not understood"
    if heard.compression > config.max_compression:
        return "repetition"
    return None


class WhisperTranscriber:
    """A whisper model of a folder (config.json, model.bin, tokenizer.json, vocabulary.txt).

    Greedy, int8 (on CUDA with float16 beside it). Raises AssetError when the package or a file is
    missing.
    """

    def __init__(
        self,
        folder: Path,
        threads: int = 1,
        compute_type: str | None = None,
        min_context_s: float = 10.0,
        beam: int = 1,
        device: str = "cpu",
    ) -> None:
        if not 1.0 <= min_context_s <= 30.0 or not 1 <= beam <= 10 or threads < 1:
            raise ConfigError(
                "expected min_context_s from 1 to 30, beam from 1 to 10 and threads from 1, got "
                f"{min_context_s}, {beam} and {threads}"
            )
        missing = [
            name for name in ("model.bin", "tokenizer.json") if not (folder / name).is_file()
        ]
        if missing:
            raise AssetError(
                f"expected {' and '.join(missing)} in {folder}; run `foveal models pull`"
            )
        try:
            from faster_whisper import WhisperModel
            from faster_whisper.tokenizer import Tokenizer
        except ImportError as error:
            raise AssetError(
                "expected the package faster-whisper; run `pip install faster-whisper`"
            ) from error
        try:
            model = WhisperModel(
                str(folder),
                device=device,
                compute_type=compute_type or COMPUTE_TYPES[device],
                cpu_threads=threads,
                local_files_only=True,
            )
        except (RuntimeError, ValueError, OSError) as error:
            raise AssetError(f"expected a CTranslate2 whisper in {folder}: {error}") from error
        self._mel, self._model = model.feature_extractor, model.model
        many = self._model.is_multilingual
        self._tokens: Any = Tokenizer(model.hf_tokenizer, many, "transcribe", "en")
        self._prompt = model.get_prompt(self._tokens, [], without_timestamps=True)
        self._min_frames, self._beam = round(min_context_s * HEARING_HZ / FRAME), beam

    def transcribe(self, sound: Sound) -> Transcript:
        """Take [N] samples at 16 kHz, at most 30 s; raises DeviceError for anything else."""
        if sound.ndim != 1 or sound.dtype != np.float32 or len(sound) > MAX_FRAMES * FRAME:
            raise DeviceError(
                f"expected float32 [N] of at most 30 s, got {sound.dtype} {list(sound.shape)}"
            )
        if len(sound) < FRAME:
            return Transcript("", no_speech=1.0)
        mel = self._mel(sound)
        frames = min(MAX_FRAMES, max(self._min_frames, mel.shape[1] + TAIL_FRAMES))
        heard = self._read(mel, frames)
        if frames == MAX_FRAMES or doubt(heard) not in ("repetition", "not understood"):
            return heard
        # Rarely, less than it was trained on confuses the network: once more with all of it.
        again = self._read(mel, MAX_FRAMES)
        better = doubt(again) is None or again.log_probability > heard.log_probability
        return again if better else heard

    def _read(self, mel: npt.NDArray[np.float32], frames: int) -> Transcript:
        """[80, T] of the sound, padded or cut to `frames`."""
        from ctranslate2 import StorageView

        seconds = mel.shape[1] * FRAME // HEARING_HZ
        mel = mel[:, :frames]
        # Zeros behind the speech, as faster-whisper pads; not the floor of the scale.
        mel = np.pad(mel, ((0, 0), (0, frames - mel.shape[1])))
        view = StorageView.from_array(np.ascontiguousarray(mel[None], np.float32))
        made = self._model.generate(
            self._model.encode(view),
            [self._prompt],
            beam_size=self._beam,
            max_length=len(self._prompt) + MAX_TOKENS + TOKENS_PER_S * seconds,
            return_scores=True,
            return_no_speech_prob=True,
        )[0]
        text = once(self._tokens.decode(made.sequences_ids[0]).strip())
        return Transcript(text, made.no_speech_prob, made.scores[0], compression(text))


def once(text: str) -> str:
    """Words that are said twice in a row, once: whisper doubles a short sentence now and then."""
    said = text.split()
    half = len(said) // 2
    same = [word.lower().strip(".,?!") for word in said]
    doubled = half >= 3 and len(said) % 2 == 0 and same[:half] == same[half:]
    return " ".join(said[:half]) if doubled else text


def compression(text: str) -> float:
    """Size of a text over its compressed size."""
    data = text.encode()
    return len(data) / len(zlib.compress(data)) if data else 1.0
