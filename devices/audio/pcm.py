"""Types of sound, and any sound as one of them."""

import numpy as np
import numpy.typing as npt

from stream.errors import DeviceError

HEARING_HZ = 16_000
MAX_CHANNELS = 8

Pcm = npt.NDArray[np.int16]  # [samples] mono
Sound = npt.NDArray[np.float32]  # [samples] mono, -1..1
RawSound = npt.NDArray[np.int16] | npt.NDArray[np.float32] | npt.NDArray[np.float64]


def as_mono(pcm: RawSound) -> tuple[Sound, int]:
    """Samples [N] or [N, channels], int16 or float -> float32 [N] in -1..1.

    Also returns how many samples were not finite (they become silence). Raises DeviceError for
    another type or shape.
    """
    if pcm.ndim not in (1, 2) or (pcm.ndim == 2 and not 1 <= pcm.shape[1] <= MAX_CHANNELS):
        raise DeviceError(
            f"expected samples [N] or [N, 1..{MAX_CHANNELS} channels], got {list(pcm.shape)}"
        )
    if pcm.dtype == np.int16:
        sound = pcm.astype(np.float32) / 32768.0
    elif pcm.dtype in (np.float32, np.float64):
        sound = pcm.astype(np.float32)
    else:
        raise DeviceError(f"expected int16 or float samples, got {pcm.dtype}")
    broken = int(np.count_nonzero(~np.isfinite(sound)))
    if broken:
        sound = np.nan_to_num(sound, nan=0.0, posinf=0.0, neginf=0.0)
    mono = sound if sound.ndim == 1 else sound.mean(axis=1, dtype=np.float32)
    return np.clip(mono, -1.0, 1.0), broken
