"""Speech out: text in, 16-bit mono PCM out, a sentence at a time.

The first chunk is ready long before the last, so a device can play while the rest is made. Two
backends: Hibari (neural, in-process, its voice is in the wheel) and espeak-ng (a program).
"""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np

from devices.audio.pcm import Pcm
from devices.audio.wav import parse_wav
from devices.speaking.sentences import speakable, split_sentences
from stream import extensions
from stream.errors import AssetError, DeviceError

PEAK = 32767.0
MAX_WORD_CHARS = 60  # a longer "word" is cut: nobody says it, and the model's input is bounded
LONG_NUMBER = re.compile(
    r"(?:\d,?){19,}"
)  # said digit by digit: Hibari has no names for such numbers
ESPEAK_TIMEOUT_S = 20.0
ESPEAK_RATE = 22_050
AUDIBLE = 0.01  # of the loudest sample
KEPT_S = 0.02  # of the silence around speech that is trimmed


class Speaker(Protocol):
    """A voice."""

    name: str
    sample_rate: int  # Hz

    def synthesize(self, text: str) -> Iterator[Pcm]:
        """Yield [samples] int16 chunks, at most a sentence each; nothing for unspeakable text."""


class HibariSpeaker:
    """Hibari TTS (Apache-2.0), 24 kHz, on the CPU; the same text gives the same samples.

    Raises AssetError when the package or the voice is not on this machine: it downloads nothing.
    """

    name = "hibari"

    def __init__(self, voice: str = "heart", speed: float = 1.0) -> None:
        if not 0.5 <= speed <= 2.0:
            raise DeviceError(f"expected a speed from 0.5 to 2.0, got {speed}")
        self._tts = _load_hibari(voice)
        self._speed = speed
        self.sample_rate = int(self._tts.sample_rate)
        self._tts.g2p  # noqa: B018  loads its lexicon now, not in the middle of an answer

    def synthesize(self, text: str) -> Iterator[Pcm]:
        """Yield one chunk per sentence."""
        for sentence in _sentences(text):
            try:
                parts = list(self._tts.stream(sentence, speed=self._speed, seed=0))
            except (LookupError, ValueError, RuntimeError) as error:
                raise DeviceError(f"hibari cannot say {sentence!r}: {error}") from error
            for audio in parts:
                if len(audio):
                    yield (np.clip(audio, -1.0, 1.0) * PEAK).astype(np.int16)


class EspeakSpeaker:
    """The espeak-ng program, 22.05 kHz; small and always understandable.

    Raises AssetError when the program is not installed, DeviceError when it fails.
    """

    name = "espeak"
    sample_rate = ESPEAK_RATE

    def __init__(
        self, voice: str = "en-us", words_per_minute: int = 165, program: str = "espeak-ng"
    ) -> None:
        found = shutil.which(program)
        if found is None:
            raise AssetError(
                f"expected the program {program} on PATH, found none; install it "
                "(Debian: apt-get install espeak-ng) or use the hibari speaker"
            )
        options = ["--stdin", "--stdout", "-b", "1", "-v", voice, "-s", str(words_per_minute)]
        self._command = [found, *options]

    def synthesize(self, text: str) -> Iterator[Pcm]:
        """Yield one chunk per sentence; one run of the program each."""
        for sentence in _sentences(text):
            # [[...]] would be read as phoneme codes.
            samples, rate = parse_wav(self._speak(sentence.replace("[[", "[ [")))
            if rate != self.sample_rate:
                raise DeviceError(f"expected {self.sample_rate} Hz from espeak-ng, got {rate}")
            if len(samples):
                yield samples

    def _speak(self, sentence: str) -> bytes:
        try:
            done = subprocess.run(
                self._command,
                input=sentence.encode(),
                capture_output=True,
                timeout=ESPEAK_TIMEOUT_S,
                check=True,
            )
        except subprocess.TimeoutExpired as error:
            raise DeviceError(
                f"expected espeak-ng to speak {len(sentence)} characters in "
                f"{ESPEAK_TIMEOUT_S:.0f} s; it did not end"
            ) from error
        except (subprocess.CalledProcessError, OSError) as error:
            detail = getattr(error, "stderr", b"") or b""
            raise DeviceError(
                f"espeak-ng failed: {error}; {detail.decode(errors='replace').strip()}"
            ) from error
        return done.stdout


def open_speaker(backend: str) -> Speaker | None:
    """The speaker of that name, which an extension may have added; None for "none"."""
    added = extensions.named("speakers", backend)
    if added:
        speaker: Speaker = extensions.load("speakers", added[0])(added[1])
        return speaker
    makers: dict[str, Callable[[], Speaker]] = {"hibari": HibariSpeaker, "espeak": EspeakSpeaker}
    return None if backend == "none" else makers[backend]()


def trim_silence(audio: Pcm, sample_rate: int, end: bool = False) -> Pcm:
    """[samples] without the silence before the speech, and after it with `end`.

    Hibari begins every sentence with 0.3 s of silence, which a listener waits for.
    """
    loud = np.abs(audio.astype(np.int32))
    audible = np.flatnonzero(loud > AUDIBLE * loud.max(initial=1))
    if not len(audible):
        return audio[:0]
    kept = round(KEPT_S * sample_rate)
    last = audible[-1] + kept + 1 if end else len(audio)
    return audio[max(0, audible[0] - kept) : last]


def _sentences(text: str) -> Iterator[str]:
    for sentence in split_sentences(text):
        spelled = LONG_NUMBER.sub(_digit_by_digit, speakable(sentence))
        cut = [
            word[i : i + MAX_WORD_CHARS]
            for word in spelled.split(" ")
            for i in range(0, len(word), MAX_WORD_CHARS)
        ]
        if cut:
            yield " ".join(cut)


def _digit_by_digit(number: re.Match[str]) -> str:
    digits = number.group()
    comma = "," if digits.endswith(",") else ""
    return " ".join(digits.replace(",", "")) + comma


def _load_hibari(voice: str) -> Any:
    try:
        from hibari import Hibari
        from hibari.voices import VOICES, voice_path
    except ImportError as error:
        raise AssetError(
            "expected the package hibari-tts; run `pip install hibari-tts` or use espeak"
        ) from error
    try:
        model = voice_path(voice, download_missing=False)
    except ValueError as error:
        known = ", ".join(sorted(VOICES))
        raise AssetError(f"expected a Hibari voice ({known}), got {voice!r}") from error
    except FileNotFoundError as error:
        raise AssetError(
            f"the voice {voice!r} is not on this machine ({error}); use 'heart', which is in "
            "the package, or fetch it once with the `hibari` command"
        ) from error
    tts = Hibari(voice=voice, model=model)
    tts.sess = _without_arena(tts.model_path)
    return tts


def _without_arena(model: str) -> Any:
    """The voice's network in a session whose memory does not grow with the lengths it has met."""
    import onnxruntime  # type: ignore[import-untyped]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
