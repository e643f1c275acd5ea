"""16-bit mono WAV files, written whole or not at all."""

import io
import wave
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from devices.audio.pcm import Pcm
from stream.clock import NS_PER_S
from stream.errors import DeviceError, OutputError


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
    try:
        with wave.open(io.BytesIO(data)) as file:
            channels, bits = file.getnchannels(), 8 * file.getsampwidth()
            body, rate = file.readframes(file.getnframes()), file.getframerate()
    except (wave.Error, EOFError, ArithmeticError) as error:
        raise DeviceError(f"expected 16-bit mono WAV data, got {data[:12]!r}: {error}") from error
    if (channels, bits) != (1, 16):
        raise DeviceError(f"expected 16-bit mono, got {channels} channels of {bits} bits")
    return np.frombuffer(body[: len(body) // 2 * 2], dtype="<i2").astype(np.int16), rate
