"""Where somebody speaks: Silero VAD over 16 kHz mono sound, in windows of 32 ms.

The network (MIT) comes with the package silero-vad and runs through onnxruntime, 0.1 ms a window.
Its state is a value that the caller owns; streaming equals offline.
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from devices.audio.pcm import HEARING_HZ, Sound
from stream.clock import NS_PER_S
from stream.errors import AssetError, DeviceError

WINDOW = 512  # samples
WINDOW_NS = WINDOW * NS_PER_S // HEARING_HZ
CONTEXT = 64  # samples of the window before that the network sees again
MODEL = "silero_vad_16k_op15.onnx"


@dataclass(frozen=True, slots=True, eq=False)
class VadState:
    """What the network remembers, and sound that does not fill a window yet."""

    memory: npt.NDArray[np.float32]  # [2, 1, 128]
    context: Sound  # [64]
    pending: Sound  # [< 512]


class VoiceDetector(Protocol):
    """Tells speech from other sound."""

    def init_state(self) -> VadState:
        """A stream that has heard nothing."""

    def step(self, state: VadState, sound: Sound) -> tuple[VadState, list[float]]:
        """Take [N] samples at 16 kHz; the probability of speech in each window they complete."""


class SileroDetector:
    """Silero VAD. Raises AssetError when the package is not installed."""

    def __init__(self, path: Path | None = None) -> None:
        from onnxruntime import (  # type: ignore[import-untyped]
            InferenceSession,
            SessionOptions,
        )

        options = SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        path = path or _packaged()
        try:
            self._session: Any = InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime has error types of its own
            raise AssetError(f"expected the Silero VAD network at {path}: {error}") from error
        self._rate = np.array(HEARING_HZ, np.int64)

    def init_state(self) -> VadState:
        """A stream that has heard nothing."""
        return VadState(
            np.zeros((2, 1, 128), np.float32),
            np.zeros(CONTEXT, np.float32),
            np.zeros(0, np.float32),
        )

    def step(self, state: VadState, sound: Sound) -> tuple[VadState, list[float]]:
        """Take [N] samples at 16 kHz; the probability of speech in each window they complete."""
        if sound.ndim != 1 or sound.dtype != np.float32:
            raise DeviceError(f"expected float32 [N], got {sound.dtype} {list(sound.shape)}")
        known = np.concatenate([state.pending, sound]) if len(state.pending) else sound
        memory, context = state.memory, state.context
        found, start = [], 0
        while start + WINDOW <= len(known):
            window = known[start : start + WINDOW]
            inputs = {
                "input": np.concatenate([context, window])[None],
                "state": memory,
                "sr": self._rate,
            }
            chance, memory = self._session.run(None, inputs)
            found.append(float(chance[0, 0]))
            context = window[-CONTEXT:]
            start += WINDOW
        return VadState(memory, context.copy(), known[start:].copy()), found


def _packaged() -> Path:
    """The network in the package; the package itself is not imported: it would load torch."""
    spec = importlib.util.find_spec("silero_vad")
    places = spec.submodule_search_locations if spec is not None else None
    if not places:
        raise AssetError("expected the package silero-vad; run `pip install silero-vad`")
    return Path(places[0]) / "data" / MODEL
