"""Files of odd makers: names, metadata, covers, pipes, and clocks that jump."""

import os
import threading
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from stream.clock import NS_PER_MS, NS_PER_S, VirtualClock
from stream.errors import SourceError
from stream.sources.container import JUMP, PacketClock
from stream.sources.open import open_source
from stream.sources.reader import Faults
from stream.sources.video import VideoReader
from tests.stream.sources.test_sources import TICKS_MS, play, pts_ms, write_clip

FPS = 30


def write_ts(path: Path, count: int, start_s: float) -> bytes:
    """A piece of a broadcast whose clock begins at `start_s`."""
    options = {"muxdelay": "0", "muxpreload": "0"}
    with av.open(str(path), "w", format="mpegts", options=options) as out:
        stream = out.add_stream("libx264", rate=FPS, options={"tune": "zerolatency"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(count):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 40, np.uint8), "rgb24")
            picture.pts, picture.time_base = round(start_s * FPS) + number, Fraction(1, FPS)
            out.mux(stream.encode(picture))
        out.mux(stream.encode(None))
    return path.read_bytes()


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "mov"])
@pytest.mark.parametrize("title", [b"CAF\xe9 ok", b"\x83\x8a\x83l\x83b"])  # Latin-1, Shift-JIS
def test_metadata_of_any_encoding(tmp_path: Path, suffix: str, title: bytes) -> None:
    path = tmp_path / f"a.{suffix}"
    marker = "Q" * len(title)
    with av.open(str(path), "w") as out:
        out.metadata["title"] = marker
        stream = out.add_stream("mpeg4", rate=FPS)
        stream.width, stream.height = 64, 48
        picture = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), "rgb24")
        out.mux(stream.encode(picture))
        out.mux(stream.encode(None))
    data = path.read_bytes()
    assert marker.encode() in data
    path.write_bytes(data.replace(marker.encode(), title))
    assert len(list(VideoReader(path).read(0))) == 1


@pytest.mark.parametrize("name", ["12:30:05.mp4", "concat:a.mp4", "./12:30:05.mp4"])
def test_a_colon_in_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "a.mp4").rename(tmp_path / name)
    assert pts_ms(play(Path(name))[0]) == TICKS_MS


def test_a_pipe_is_refused_with_what_to_do(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").open("wb").close(), daemon=True)
    writer.start()  # a reader that opened it would not wait for ever
    for path in (tmp_path / "pipe", Path("-")):
        with pytest.raises(SourceError, match="save it to a file"):
            open_source(path, VirtualClock())


def test_a_thumbnail_before_the_film_is_not_the_film(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as out:
        small, film = out.add_stream("mjpeg", rate=1), out.add_stream("libx264", rate=FPS)
        small.width, small.height, small.pix_fmt = 32, 32, "yuvj420p"
        film.width, film.height, film.pix_fmt = 64, 48, "yuv420p"
        cover = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), "rgb24")
        out.mux(small.encode(cover))
        for number in range(12):
            picture = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), "rgb24")
            picture.pts, picture.time_base = number, Fraction(1, FPS)
            out.mux(film.encode(picture))
        for stream in (small, film):
            out.mux(stream.encode(None))
    frames, _ = play(path)
    assert len(frames) == 12 and frames[0].size == (48, 64)


def seconds_of(path: Path) -> tuple[list[float], dict[str, int]]:
    reader = VideoReader(path)
    return [frame.pts_ns / NS_PER_S for frame in reader.read(0)], reader.faults.counts


def test_a_stretch_of_wrong_stamps_does_not_move_the_rest(tmp_path: Path) -> None:
    a, b, c = (
        write_ts(tmp_path / name, count, start)
        for name, count, start in (("a", 30, 0), ("b", 30, 3600), ("c", 60, 1))
    )
    path = tmp_path / "glitch.ts"
    path.write_bytes(a + b + c)
    times, faults = seconds_of(path)
    np.testing.assert_allclose(times, np.arange(120) / FPS, atol=0.002)
    assert faults == {JUMP: 2}


def test_a_clock_that_begins_anew_goes_on(tmp_path: Path) -> None:
    piece = write_ts(tmp_path / "a", 60, 5)
    path = tmp_path / "twice.ts"
    path.write_bytes(piece * 2)
    times, faults = seconds_of(path)
    np.testing.assert_allclose(times, np.arange(120) / FPS, atol=0.002)
    assert faults == {JUMP: 1}


def test_a_gap_that_is_kept_stays(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mkv", (0, 40, 80, 60_000, 60_040, 60_080))
    frames, recording = play(path)
    assert pts_ms(frames) == (0, 40, 80, 60_000, 60_040, 60_080)
    assert recording.faults == {}


@dataclass
class Packet:
    """Of av, as far as a clock looks at it."""

    pts: int | None
    dts: int | None


@dataclass
class Stream:
    """Of av: a clock of milliseconds."""

    time_base: Fraction = Fraction(1, 1000)


HOUR = 3_600_000


@pytest.mark.parametrize(
    "given,mended,jumps",
    [
        ((0, 40, 80, 120), (0, 40, 80, 120), 0),
        ((0, 40, HOUR, 120, 160), (0, 40, 80, 120, 160), 1),  # one picture alone
        ((HOUR, 40, 80), (HOUR, HOUR + 1, HOUR + 41), 1),  # the first one
        ((0, 40, HOUR, HOUR + 40, HOUR + 80), (0, 40, HOUR, HOUR + 40, HOUR + 80), 0),  # a gap
        ((9000, 9040, 0, 40), (9000, 9040, 9080, 9120), 1),  # began anew
        ((0, 40, 120, 80, 160), (0, 40, 120, 80, 160), 0),  # the order of decoding
        ((0, 40, HOUR, 80, HOUR, 160), (0, 40, 80, 120, 160, 200), 3),
    ],
)
def test_the_clock_of_packets(given: tuple[int, ...], mended: tuple[int, ...], jumps: int) -> None:
    faults = Faults()
    clock = PacketClock(Stream(), faults)
    packets = [Packet(ticks, ticks) for ticks in given]
    out = tuple(packet.pts for packet in clock.mend(iter(packets)))
    assert out == mended and faults.counts.get(JUMP, 0) == jumps == clock.jumps


def test_packets_without_times_pass(tmp_path: Path) -> None:
    packets = [Packet(0, None), Packet(None, None), Packet(None, 80)]
    out = list(PacketClock(Stream(), Faults()).mend(iter(packets)))
    assert [(one.pts, one.dts) for one in out] == [(0, None), (None, None), (None, 80)]


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "ts"])
def test_a_late_start_gives_the_same_frames(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    options = {"g": "25", "bf": "0" if suffix == "avi" else "2", "x264-params": "open-gop=1"}
    random = np.random.default_rng(0)
    with av.open(str(path), "w", format="mpegts" if suffix == "ts" else None) as out:
        stream = out.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(240):
            image = random.integers(0, 256, (48, 64, 3)).astype(np.uint8)
            picture = av.VideoFrame.from_ndarray(image, "rgb24")
            picture.pts, picture.time_base = number, Fraction(1, FPS)
            out.mux(stream.encode(picture))
        out.mux(stream.encode(None))
    reader = VideoReader(path)
    every = list(reader.read(0))
    for start_ns in (0, 500 * NS_PER_MS, 2 * NS_PER_S, 4123 * NS_PER_MS, 7900 * NS_PER_MS):
        late = list(reader.read(start_ns))
        wanted = [frame for frame in every if frame.pts_ns >= start_ns]
        assert [one.pts_ns for one in late] == [one.pts_ns for one in wanted]
        assert all(np.array_equal(a.image, b.image) for a, b in zip(late, wanted, strict=True))
    assert reader.faults.counts == {}
