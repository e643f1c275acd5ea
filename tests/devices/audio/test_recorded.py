"""The sound of recordings: tracks, and formats and clocks that change on the way."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from devices.audio.recorded import read_sound, sound_tracks
from stream.clock import NS_PER_S
from stream.errors import SourceError


def write_sound(path: Path, rate: int, layout: str, seconds: float, start_s: float = 0) -> bytes:
    """A piece of a broadcast: a tone of 300 Hz."""
    with av.open(str(path), "w", format="mpegts") as out:
        stream = out.add_stream("mp2", rate=rate, layout=layout)
        size, channels = 1152, 1 if layout == "mono" else 2
        for number in range(int(rate * seconds) // size):
            at = np.arange(size) + number * size
            tone = (8000 * np.sin(2 * np.pi * 300 * at / rate)).astype(np.int16)
            block = np.repeat(tone, channels)[None]
            frame = av.AudioFrame.from_ndarray(block, format="s16", layout=layout)
            frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
            frame.pts = round(start_s * rate) + number * size
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path.read_bytes()


def test_rate_and_channels_that_change(tmp_path: Path) -> None:
    path = tmp_path / "mix.ts"
    first = write_sound(tmp_path / "a", 44_100, "mono", 2)
    path.write_bytes(first + write_sound(tmp_path / "b", 48_000, "stereo", 2, 2))
    seconds = {(44_100, 1): 0.0, (48_000, 2): 0.0}
    for pcm, _, rate in read_sound(path):
        form = rate, pcm.shape[1]
        if form in seconds:  # at the seam one frame of FFmpeg has the old rate, the new channels
            seconds[form] += len(pcm) / rate
    assert all(value == pytest.approx(2, abs=0.1) for value in seconds.values())


def test_a_wrong_stretch_of_the_clock_does_not_move_the_sound(tmp_path: Path) -> None:
    path = tmp_path / "glitch.ts"
    pieces = ((1, 0), (1, 3600), (2, 1))
    parts = [write_sound(tmp_path / "p", 48_000, "mono", long, at) for long, at in pieces]
    path.write_bytes(b"".join(parts))
    times = [pts_ns / NS_PER_S for _, pts_ns, _ in read_sound(path)]
    assert times == sorted(times) and times[-1] == pytest.approx(4, abs=0.2)


@pytest.fixture
def two_tracks(tmp_path: Path) -> Path:
    """Silence on the first track, a tone on the second."""
    path = tmp_path / "two.mkv"
    with av.open(str(path), "w") as out:
        streams = [out.add_stream("pcm_s16le", rate=16_000, layout="mono") for _ in range(2)]
        for level, stream in zip((0, 5000), streams, strict=True):
            frame = av.AudioFrame.from_ndarray(np.full((1, 16_000), level, np.int16), "s16", "mono")
            frame.sample_rate, frame.pts, frame.time_base = 16_000, 0, Fraction(1, 16_000)
            out.mux(stream.encode(frame))
    return path


@pytest.mark.parametrize("track,level", [(1, 0), (2, 5000)])
def test_a_track_is_chosen(two_tracks: Path, track: int, level: int) -> None:
    assert sound_tracks(two_tracks) == 2
    blocks = list(read_sound(two_tracks, track))
    assert len(blocks) == 50 and {int(pcm.max()) for pcm, _, _ in blocks} == {level}


@pytest.mark.parametrize("track", [0, 3])
def test_a_track_that_is_not_there(two_tracks: Path, track: int) -> None:
    with pytest.raises(SourceError, match="expected sound track 1 to 2"):
        list(read_sound(two_tracks, track))


def test_capital_letters_in_the_suffix_of_glasses(tmp_path: Path) -> None:
    (tmp_path / "REC.VRS").write_bytes(b"no recording")
    with pytest.raises(SourceError, match="VRS"):
        next(read_sound(tmp_path / "REC.VRS"))
