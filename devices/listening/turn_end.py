"""Is the turn over? What the voice itself tells, beside the words: smart-turn v3.2.

A small network over the last 8 s of sound (Daily's, BSD-2-Clause, 23 languages), asked once a
pause, about 0.2 s into it; some 30 ms on one core. Its features are whisper's, of sound brought to
mean 0 and variance 1, with silence before it where it is short (pipecat-ai 1.14.0,
pipecat/audio/turn/smart_turn/local_smart_turn_v3.py).
"""

import math
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from devices.audio.pcm import HEARING_HZ, Sound
from devices.listening.endpointing import Hint
from stream.errors import AssetError, DeviceError

SECONDS = 8
SAMPLES = SECONDS * HEARING_HZ
# Log odds that the turn is over, of words so far. Whisper ends fragments with a full stop, too.
WORDS: dict[Hint, float] = {"finished": 0.5, "unknown": -1.5, "unfinished": -3.5}
ASKED = 3.0  # of a question with its mark
TRUST = 2.4  # the voice's at most: the network is right in 91.6 of 100 (smart-turn v3's own figure)
SURE = 1.0  # log odds at which a turn is taken to be over, or with the other sign to go on


class TurnDetector(Protocol):
    """Tells from its sound whether a turn is over."""

    def chance(self, sound: Sound) -> float:
        """That it is, 0..1: of [N] samples at 16 kHz up to now, the silence at the end included."""


class SmartTurn:
    """smart-turn v3. Raises AssetError where the network or a package is missing."""

    def __init__(self, path: Path) -> None:
        try:
            from faster_whisper.feature_extractor import FeatureExtractor
            from onnxruntime import (  # type: ignore[import-untyped]
                InferenceSession,
                SessionOptions,
            )
        except ImportError as error:
            raise AssetError(f"expected the extra `speech`: {error}") from error
        options = SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session: Any = InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime has error types of its own
            raise AssetError(f"expected the smart-turn network at {path}: {error}") from error
        self._extractor: Any = FeatureExtractor(chunk_length=SECONDS)

    def chance(self, sound: Sound) -> float:
        """That the turn is over, 0..1."""
        (chance,) = self._session.run(None, {"input_features": self.features(sound)[None]})
        return float(np.ravel(chance)[0])

    def features(self, sound: Sound) -> npt.NDArray[np.float32]:
        """Log-mel [80, 800] of the last 8 s of [N] samples, in about -1..1."""
        if sound.ndim != 1 or sound.dtype != np.float32:
            raise DeviceError(f"expected float32 [N], got {sound.dtype} {list(sound.shape)}")
        padded = np.zeros(SAMPLES, np.float32)
        heard = sound[-SAMPLES:]
        padded[SAMPLES - len(heard) :] = heard
        even = (padded - padded.mean()) / np.sqrt(padded.var() + 1e-7)
        return np.asarray(self._extractor(even, padding=0), np.float32)


def weigh(words: Hint, chance: float | None, asked: bool = False) -> Hint:
    """What words and voice tell together; the words alone where the voice was not asked.

    `asked`: the words are a question with its mark. So weighed the voice holds a turn open that the
    words would end, and never ends one that they hold open.
    """
    if chance is None:
        return words
    sure = min(max(chance, 1e-6), 1 - 1e-6)
    voice = min(max(math.log(sure / (1 - sure)), -TRUST), TRUST)
    odds = voice + (ASKED if asked and words == "finished" else WORDS[words])
    return "finished" if odds >= SURE else "unfinished" if odds <= -SURE else "unknown"
