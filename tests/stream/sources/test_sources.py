"""Real files: variable frame rate, rotation, damage, folders, glasses recordings."""

import asyncio
import itertools
import os
import sys
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from stream.clock import NS_PER_MS, NS_PER_S, VirtualClock
from stream.errors import ConfigError, SourceError
from stream.frame import Frame
from stream.sources.open import Recording, open_source
from stream.sources.playback import PlaybackOptions, Player
from stream.sources.vrs import without_chatter

TICKS_MS = (0, 40, 80, 200, 240, 500)  # a variable frame rate


def write_clip(path: Path, ticks_ms: tuple[int, ...] = TICKS_MS, size: int = 64) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"bf": "0", "g": "2"})
        stream.width, stream.height, stream.pix_fmt = 2 * size, size, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for index, tick in enumerate(ticks_ms):
            image = np.full((size, 2 * size, 3), (20 * index) % 200, np.uint8)
            image[: size // 4, : size // 4] = 255  # a bright corner shows the rotation
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = tick, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def play(path: Path, **options: object) -> tuple[list[Frame], Recording]:
    playback = PlaybackOptions(**{"rate": 0, **options})  # type: ignore[arg-type]
    recording = open_source(path, VirtualClock(), playback)

    async def session() -> list[Frame]:
        frames = []
        async for frame in recording.frames():
            frames.append(frame)
            if len(frames) == 40:
                break
        return frames

    return asyncio.run(session()), recording


def pts_ms(frames: list[Frame]) -> tuple[int, ...]:
    return tuple(frame.pts_ns // NS_PER_MS for frame in frames)


@pytest.mark.parametrize("reader", ["pyav", "decord"])
def test_variable_frame_rate_is_kept(tmp_path: Path, reader: str) -> None:
    if reader == "decord":
        pytest.importorskip("decord", reason="decord has no wheel for this machine")
    path = write_clip(tmp_path / "vfr.mp4")
    source = open_source(path, VirtualClock(), PlaybackOptions(rate=0), reader=reader)  # type: ignore[arg-type]
    frames = list(source.reader.read(0))
    assert pts_ms(frames) == TICKS_MS
    assert frames[0].size == (64, 128)
    assert source.info().width == 128
    assert source.faults == {}


def test_without_decord_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "decord", None)  # as where it has no wheel
    with pytest.raises(SourceError, match="pip install decord.*--reader pyav"):
        open_source(write_clip(tmp_path / "a.mp4"), VirtualClock(), reader="decord")


def test_missing_and_backward_timestamps_are_repaired(tmp_path: Path) -> None:
    from stream.sources.video import VideoReader

    reader = VideoReader(write_clip(tmp_path / "a.mp4"))
    step = 40 * NS_PER_MS
    assert reader._repair(None, 0, 80 * NS_PER_MS, step) == 120 * NS_PER_MS
    assert reader._repair(70 * NS_PER_MS, 0, 80 * NS_PER_MS, step) == 120 * NS_PER_MS
    assert reader._repair(90 * NS_PER_MS, 0, 80 * NS_PER_MS, step) == 90 * NS_PER_MS
    assert reader.faults.counts == {"missing pts": 1, "non-monotonic pts": 1}


def test_offset_duration_and_loop(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4")
    frames, _ = play(path, start_offset_ns=80 * NS_PER_MS, duration_ns=200 * NS_PER_MS)
    assert pts_ms(frames) == (80, 200, 240)
    looped, _ = play(path, loop=True)
    times = pts_ms(looped)
    assert len(times) == 40 and all(b > a for a, b in itertools.pairwise(times))
    assert times[6] == 760  # the last gap, 260 ms, separates the loops


def test_truncated_file_gives_its_good_frames(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "a.mkv", tuple(range(0, 1200, 40)))
    path = tmp_path / "cut.mkv"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    frames, _ = play(path)
    assert 5 < len(frames) < 30


def test_file_cut_off_says_that_it_ended_early(tmp_path: Path) -> None:
    ticks = tuple(range(0, 3000, 100))
    whole = write_clip(tmp_path / "whole.mkv", ticks)
    assert play(whole)[1].faults == {}
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    frames, recording = play(cut)
    assert 0 < len(frames) < len(ticks)
    assert "ended before the length it announced" in recording.faults


@pytest.mark.parametrize("content", [b"", b"not a video at all" * 50])
def test_not_a_video(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(SourceError, match="expected a video file that FFmpeg can read"):
        open_source(path, VirtualClock())


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nothing is there"):
        open_source(tmp_path / "none.mp4", VirtualClock())
    with pytest.raises(SourceError, match="expected pictures"):
        open_source(tmp_path, VirtualClock())


def test_folder_with_a_broken_picture(tmp_path: Path) -> None:
    for index in range(4):
        cv2.imwrite(str(tmp_path / f"{index}.png"), np.full((8, 12, 3), index, np.uint8))
    (tmp_path / "2.png").write_bytes(b"broken")
    frames, recording = play(tmp_path)
    assert pts_ms(frames) == (0, 100, 300)
    assert recording.faults == {"unreadable picture": 1}
    assert recording.info().width == 12


@pytest.mark.parametrize(
    "names",
    [
        [f"frame_{number}" for number in range(1, 13)],
        [f"{number:04d}" for number in range(8, 12)],  # padded
        ["a1b2", "a1b10", "a2b1", "a10"],
        ["IMG_20240101_000009", "IMG_20240101_000010", "IMG_20240102_000001"],
    ],
)
def test_numbers_in_names_of_pictures_are_numbers(tmp_path: Path, names: list[str]) -> None:
    for name in sorted(names, reverse=True):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((8, 12, 3), np.uint8))
    assert [Path(frame.source).stem for frame in play(tmp_path)[0]] == names


def test_what_is_no_picture_is_left_out_and_counted(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.JPG"), np.zeros((8, 12, 3), np.uint8))
    for name in ("b.HEIC", "c.heic", "notes.txt", "._a.JPG", ".DS_Store", "README"):
        (tmp_path / name).write_bytes(b"\x00")
    (tmp_path / "deeper.png").mkdir()
    frames, recording = play(tmp_path)
    assert [frame.source for frame in frames] == ["a.JPG"]
    assert recording.faults == {
        "left out: .heic": 2,
        "left out: .txt": 1,
        "left out: file without a suffix": 1,
    }


@pytest.mark.parametrize("rate,expected_ms", [(1.0, 500), (2.0, 250), (0.0, 0)])
async def test_rate_on_the_virtual_clock(tmp_path: Path, rate: float, expected_ms: int) -> None:
    clock = VirtualClock()
    source = open_source(write_clip(tmp_path / "a.mp4"), clock, PlaybackOptions(rate=rate))
    count = len([frame async for frame in source.frames()])
    assert count == len(TICKS_MS)  # a file never drops a frame
    assert clock.now_ns() == expected_ms * NS_PER_MS


async def test_start_paused_and_pause() -> None:
    clock = VirtualClock()
    image = np.zeros((4, 4, 3), np.uint8)

    def read(start_ns: int) -> list[Frame]:
        return [Frame(n * NS_PER_S, 0, image, "test") for n in range(3)]

    player = Player(lambda start: iter(read(start)), clock, PlaybackOptions(start_paused=True))
    frames = player.frames()
    first = asyncio.ensure_future(anext(frames))
    await asyncio.sleep(0)
    assert not first.done()
    clock.advance_to(10 * NS_PER_S)
    player.resume()
    assert (await first).arrival_ns == 10 * NS_PER_S
    assert (await anext(frames)).arrival_ns == 11 * NS_PER_S


@pytest.mark.parametrize(
    "options", [{"rate": -1}, {"rate": float("nan")}, {"start_offset_ns": -1}, {"duration_ns": 0}]
)
def test_bad_options(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="expected a"):
        PlaybackOptions(**options)  # type: ignore[arg-type]


@pytest.mark.shared
def test_glasses_recording(shared_data: Path) -> None:
    pytest.importorskip("pyvrs")
    frames, recording = play(shared_data / "aria" / "aria_aea" / "recording.vrs")
    assert len(frames) == 8 and frames[0].size == (1408, 1408)
    assert frames[1].pts_ns == pytest.approx(50 * NS_PER_MS, rel=0.01)
    assert recording.info().has_audio


def test_the_recording_library_s_progress_is_kept_off_standard_error(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with without_chatter():
        os.write(2, b"\x1b[38;2;0m[TagsRecord][DEBUG]: Read 7 VRS tags\x1b[0m\n")
        os.write(2, b"\x1b[0m\x1b[38;2;1m[ProgressLogger][INFO]: Opening\x1b[0m\n\x1b[0m\n")
        os.write(2, b"somebody else's words\n")
    os.write(2, b"and after it\n")
    assert capfd.readouterr().err == "somebody else's words\nand after it\n"
