"""16-bit mono WAV files, written whole or not at all."""

import struct
import wave
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stream.clock import NS_PER_S
from stream.errors import DeviceError, OutputError

Pcm = npt.NDArray[np.int16]  # [samples] mono


def write_wav(path: Path, chunks: Iterable[Pcm], sample_rate: int) -> int:
    """Write mono chunks as they come; returns the duration in ns.

    The file appears under its name only when it is complete. Raises OutputError when the folder
    cannot be written.
    """
    part = path.with_name(path.name + ".part")
    samples = 0
    try:
        with part.open("wb") as raw, wave.open(raw, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(sample_rate)
            for chunk in chunks:
                file.writeframes(np.asarray(chunk, dtype="<i2").tobytes())
                samples += len(chunk)
        part.replace(path)
    except OSError as error:
        raise OutputError(
            f"expected to write speech to {path}: {error.strerror or error}; "
            "choose a folder that exists and may be written"
        ) from error
    finally:
        if part.is_file():
            part.unlink()
    return samples * NS_PER_S // sample_rate


def parse_wav(data: bytes) -> tuple[Pcm, int]:
    """Samples and sample rate of a 16-bit mono PCM WAV; raises DeviceError on anything else.

    Sizes are taken as upper bounds: a program that writes to a pipe cannot know them.
    """
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise DeviceError(f"expected WAV data, got {len(data)} bytes starting {data[:12]!r}")
    offset, rate = 12, None
    while offset + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, offset)
        body = data[offset + 8 : offset + 8 + size]
        if name == b"fmt " and len(body) >= 16:
            rate = _mono_rate(body)
        if name == b"data" and rate is not None:
            return np.frombuffer(body[: len(body) // 2 * 2], dtype="<i2").astype(np.int16), rate
        offset += 8 + size + size % 2
    raise DeviceError("expected a WAV with a format and a data chunk; one of them is missing")


def _mono_rate(fmt: bytes) -> int:
    kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", fmt)
    if (kind, channels, bits) != (1, 1, 16):
        raise DeviceError(
            f"expected 16-bit mono PCM, got format {kind} with {channels} channels of {bits} bits"
        )
    return int(rate)
