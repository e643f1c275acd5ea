"""WAV files."""

import os
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.audio.pcm import Pcm
from devices.audio.wav import parse_wav, write_wav
from stream.errors import DeviceError, FovealError, OutputError


def test_chunks_become_one_file(tmp_path: Path) -> None:
    chunks = [np.full(100, 7, np.int16), np.full(300, -9, np.int16)]
    path = tmp_path / "a.wav"
    assert write_wav(path, chunks, 8000) == 50_000_000
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 8000)
    samples, rate = parse_wav(path.read_bytes())
    assert rate == 8000
    np.testing.assert_array_equal(samples, np.concatenate(chunks))


def test_no_chunks_give_an_empty_file(tmp_path: Path) -> None:
    assert write_wav(tmp_path / "a.wav", [], 24_000) == 0
    samples, _ = parse_wav((tmp_path / "a.wav").read_bytes())
    assert len(samples) == 0


def test_a_failing_voice_leaves_no_file(tmp_path: Path) -> None:
    def chunks() -> Iterator[Pcm]:
        yield np.zeros(10, np.int16)
        raise DeviceError("the voice broke")

    with pytest.raises(DeviceError, match="broke"):
        write_wav(tmp_path / "a.wav", chunks(), 8000)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OutputError, match="may be written"):
        write_wav(tmp_path / "file" / "a.wav", [np.zeros(1, np.int16)], 8000)


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() == 0, reason="root and Windows write read-only folders"
)
def test_a_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(FovealError, match="Permission denied"):
        write_wav(tmp_path / "a.wav", [np.zeros(1, np.int16)], 8000)


def test_sizes_from_a_pipe_are_upper_bounds(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", [np.arange(50, dtype=np.int16)], 8000)
    data = bytearray((tmp_path / "a.wav").read_bytes())
    data[4:8] = data[40:44] = b"\x00\xf0\xff\x7f"
    samples, _ = parse_wav(bytes(data))
    np.testing.assert_array_equal(samples, np.arange(50))


def test_stereo_is_refused(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"\0" * 8)
    with pytest.raises(DeviceError, match="2 channels"):
        parse_wav((tmp_path / "a.wav").read_bytes())


@given(st.binary(max_size=80) | st.binary(max_size=80).map(lambda b: b"RIFF\0\0\0\0WAVEfmt " + b))
def test_any_bytes_parse_or_are_refused(data: bytes) -> None:
    try:
        samples, rate = parse_wav(data)
    except DeviceError:
        return
    assert samples.dtype == np.int16 and rate >= 0
