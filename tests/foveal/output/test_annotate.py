"""The annotated picture and its video, on any size and any text."""

import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ImageFont

from foveal.output import annotated_video
from foveal.output.annotate import (
    KEYFRAME_COLOUR,
    PALETTE,
    colour,
    draw,
    mark_question,
    name,
    told_apart,
)
from foveal.output.annotated_video import AnnotatedVideo
from foveal.output.subtitles import MAX_LINES, subtitle_strip, wrap
from stream.errors import OutputError
from stream.events import Question, Region
from stream.frame import Frame, Image, Keyframe
from stream.geometry import encode_mask, mask_box


def grey(height: int, width: int, value: int = 100) -> Frame:
    return Frame(0, 0, np.full((height, width, 3), value, np.uint8), "test")


def square(height: int, width: int, track_id: int = 1, shift: int = 0) -> Region:
    mask = np.zeros((height, width), bool)
    mask[height // 4 : height - height // 4, width // 4 + shift : width - width // 4 + shift] = True
    return Region(track_id, 0, encode_mask(mask), mask_box(mask), 0.9)


def test_a_mask_is_tinted_outlined_and_the_rest_left_alone() -> None:
    frame = grey(200, 300)
    picture = draw(frame, (square(200, 300),), None, None)
    assert (frame.image == 100).all()  # drawn on a copy
    expected = np.rint(100 * 0.58 + 0.42 * np.array(colour(1)))
    assert np.abs(picture[100, 150] - expected).max() <= 1
    assert (picture[100, 10] == 100).all()
    assert np.abs(picture[100, 75].astype(int) - colour(1)).max() < 40  # on the outline


def test_a_mask_of_another_size_is_scaled_to_the_frame() -> None:
    full = draw(grey(200, 300), (square(200, 300),), None, None)
    small = draw(grey(200, 300), (square(100, 150),), None, None)
    assert np.abs(full.astype(int) - small).mean() < 1


def test_a_large_picture_is_shrunk_first() -> None:
    picture = draw(grey(400, 600), (square(400, 600),), None, None, heights=(50, 100))
    assert picture.shape == (100, 150, 3)
    assert (picture[50, 75] != 100).any()
    assert (picture[50, 5] == 100).all()


@pytest.mark.parametrize(
    ("size", "expected"),
    [((60, 80), (120, 160)), ((1, 1), (120, 120)), ((2, 6400), (2, 6400)), ((120, 7), (120, 7))],
)
def test_a_small_picture_is_enlarged_first(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    picture = draw(grey(*size), (square(*size),), None, "Q: x", heights=(120, 720))
    assert picture.shape[:2] == expected


def test_what_was_pointed_at_is_marked() -> None:
    for question in (Question("x", 0, point=(30, 20)), Question("x", 0, box=(25, 15, 35, 25))):
        picture = np.full((200, 300, 3), 100, np.uint8)
        mark_question(picture, question, (100, 150))
        changed = np.argwhere((picture != 100).any(axis=2))
        assert np.abs(changed.mean(axis=0) - (40, 60)).max() < 2
    picture = np.full((200, 300, 3), 100, np.uint8)
    mark_question(picture, Question("x", 0), (100, 150))
    assert (picture == 100).all()


def test_an_empty_mask_draws_nothing() -> None:
    gone = Region(1, 0, encode_mask(np.zeros((200, 300), bool)), None, 0.0)
    assert (draw(grey(200, 300), (gone,), None, None) == draw(grey(200, 300), (), None, None)).all()


def label_width(region: Region, scores: bool = False) -> int:
    """Columns that a label in the region's colour takes above the mask of `square(400, 400)`."""
    picture = draw(grey(400, 400), (region,), None, None, scores=scores)
    return int((picture[70:97] == colour(1)).all(axis=2).any(axis=0).sum())


def test_a_mask_carries_its_name_and_no_more_unless_asked() -> None:
    cup = square(400, 400)
    assert label_width(cup) == 0  # nothing but the outline
    for words in ("cup", "红色的杯子"):
        named = replace(cup, name=words)
        assert 0 < label_width(named) < label_width(named, scores=True)
    assert label_width(cup, scores=True) > 0


def test_names_do_not_cover_each_other() -> None:
    twins = square(400, 400, 1), square(400, 400, 2)
    first, second = (replace(one, name="a long enough name") for one in twins)
    both = draw(grey(400, 400), (first, second), None, None)
    for tone in (colour(1), colour(2)):
        assert (both == tone).all(axis=2).sum() > 1000


def test_a_keyframe_has_a_border() -> None:
    frame = grey(200, 300)
    picture = draw(frame, (), Keyframe(frame, 0.3, "scene"), None)
    assert (picture[0, :] == KEYFRAME_COLOUR).all()
    assert (picture[:, -1] == KEYFRAME_COLOUR).all()


def test_a_subtitle_darkens_the_lower_edge_and_prints_light_letters() -> None:
    picture = draw(grey(360, 640), (), None, "Q: What is this?\nA: A cup.")
    assert (picture[:100, :400] == 100).all()
    lower = picture[-30:]
    assert np.median(lower) < 60
    assert picture[-60:].max() > 220


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 500), (500, 1), (2, 3), (47, 49), (61, 33), (480, 641), (719, 1281)]
)
def test_any_size_is_drawn_on(size: tuple[int, int]) -> None:
    frame = grey(*size)
    whole = Region(3, 0, encode_mask(np.ones(size, bool)), (0, 0, size[1], size[0]), 1.0)
    picture = draw(frame, (whole, square(*size)), Keyframe(frame, 0, "first"), "Q: x\nA: " * 9)
    assert picture.shape == (*size, 3)
    assert picture.dtype == np.uint8
    assert (picture != 100).any()


def test_an_8k_frame_is_drawn_on() -> None:
    frame = grey(4320, 7680)
    picture = draw(frame, (square(4320, 7680),), None, "Q: x", heights=(480, 720))
    assert picture.shape == (720, 1280, 3)


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=60), st.integers(60, 400), st.integers(60, 300))
def test_any_text_can_be_a_subtitle(text: str, width: int, height: int) -> None:
    strip = subtitle_strip(text, width, height)
    assert strip.keep.shape == strip.colour.shape
    assert strip.keep.shape[0] <= height
    assert strip.keep.shape[1] == width


@pytest.mark.parametrize(
    "text",
    [
        "word " * 10_000,
        "x" * 100_000,
        "这是什么" * 500,
        "مرحبا " * 300,
        "\ud800\x00\x1b[31m",
        "👩‍🔬" * 200,
    ],
    ids=["words", "one word", "chinese", "arabic", "control", "emoji"],
)
def test_long_and_foreign_subtitles_stay_small(text: str) -> None:
    strip = subtitle_strip(f"Q: {text}\nA: {text}", 1280, 720)
    assert strip.keep.shape[0] <= 360


def test_a_subtitle_is_laid_out_once() -> None:
    assert subtitle_strip("Q: a", 640, 360) is subtitle_strip("Q: a", 640, 360)


def test_words_are_wrapped_to_the_width() -> None:
    font = ImageFont.load_default(20)
    text = "The quick brown fox jumps over the lazy dog and runs on"
    lines = wrap(text, font, 200, max_lines=9)
    assert " ".join(lines) == text
    assert len(lines) > 2
    assert max(font.getlength(line) for line in lines) <= 200
    cut = wrap(text, font, 200, max_lines=2)
    assert len(cut) == 2
    assert cut[0] == lines[0]
    assert cut[1].endswith("…")
    assert font.getlength(cut[1]) <= 200
    assert "".join(wrap("w" * 50, font, 200, max_lines=9)) == "w" * 50
    assert wrap("", font, 200) == []
    assert wrap("   \n", font, 200) == []
    assert len(wrap("word " * 10_000, font, 200)) == MAX_LINES


def test_masklets_keep_their_colour() -> None:
    assert len(set(PALETTE)) == len(PALETTE)
    assert colour(0) == colour(len(PALETTE))
    assert colour(-1) == PALETTE[-1]


def ramp(size: tuple[int, int], value: int) -> Image:
    picture = np.full((size[1], size[0], 3), value, np.uint8)
    picture[: size[1] // 2, :, 0] = 200
    return picture


def read_back(path: Path) -> tuple[list[Fraction], list[Image], av.VideoStream]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        times = [frame.pts * frame.time_base for frame in frames]
        return times, [frame.to_ndarray(format="rgb24") for frame in frames], stream


def test_a_video_keeps_uneven_times_and_colours(tmp_path: Path) -> None:
    times_ms = [0, 33, 70, 71, 500, 2500]
    with AnnotatedVideo(tmp_path / "a.mp4", (64, 48)) as video:
        for index, ms in enumerate(times_ms):
            video.write(ramp((64, 48), 20 * index), 7_000_000_000 + ms * 1_000_000)
    times, pictures, stream = read_back(tmp_path / "a.mp4")
    assert times == [Fraction(ms, 1000) for ms in times_ms]
    assert stream.codec_context.name == "h264"
    assert stream.codec_context.pix_fmt == "yuv420p"
    for index, picture in enumerate(pictures):
        assert np.abs(picture.astype(int) - ramp((64, 48), 20 * index)).mean() < 8


def test_equal_and_backward_times_move_up(tmp_path: Path) -> None:
    with AnnotatedVideo(tmp_path / "a.mp4", (32, 32)) as video:
        for pts_ns in (5_000_000, 5_000_000, 1_000_000, 5_000_500, 9_000_000):
            video.write(ramp((32, 32), 50), pts_ns)
    times, _, _ = read_back(tmp_path / "a.mp4")
    assert times == [Fraction(us, 10**6) for us in (0, 1, 2, 3, 4000)]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1, 1), (2, 2)),
        ((641, 481), (640, 480)),
        ((1920, 1080), (1280, 720)),
        ((1408, 1408), (720, 720)),
        ((7680, 1), (7680, 2)),
    ],
)
def test_video_sizes_are_even_and_bounded(
    tmp_path: Path, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    with AnnotatedVideo(tmp_path / "a.mp4", size) as video:
        video.write(np.full((size[1], size[0], 3), 90, np.uint8), 0)
    _, pictures, _ = read_back(tmp_path / "a.mp4")
    assert pictures[0].shape[1::-1] == expected
    assert abs(int(pictures[0].mean()) - 90) <= 3


def test_frames_of_another_size_are_fitted_in(tmp_path: Path) -> None:
    with AnnotatedVideo(tmp_path / "a.mp4", (64, 64)) as video:
        video.write(np.full((64, 64, 3), 200, np.uint8), 0)
        video.write(np.full((100, 200, 3), 200, np.uint8), 10**8)
    _, pictures, _ = read_back(tmp_path / "a.mp4")
    assert pictures[1].shape == (64, 64, 3)
    assert pictures[1][32].mean() > 190
    assert pictures[1][4].mean() < 10  # a bar, not a stretched picture


def test_a_video_that_was_never_closed_still_plays(tmp_path: Path) -> None:
    video = AnnotatedVideo(tmp_path / "a.mp4", (32, 32))
    for index in range(200):
        video.write(ramp((32, 32), index), index * 33_000_000)
    (tmp_path / "b.mp4").write_bytes((tmp_path / "a.mp4").read_bytes())
    video.close()
    video.close()
    assert len(read_back(tmp_path / "b.mp4")[0]) > 100
    assert len(read_back(tmp_path / "a.mp4")[0]) == 200


def test_mpeg4_where_x264_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(av, "codecs_available", {"mpeg4"})
    with AnnotatedVideo(tmp_path / "a.mp4", (64, 48)) as video:
        for index in range(5):
            video.write(ramp((64, 48), 40), index * 40_000_000)
    times, pictures, stream = read_back(tmp_path / "a.mp4")
    assert stream.codec_context.name == "mpeg4"
    assert len(times) == 5
    assert np.abs(pictures[-1].astype(int) - ramp((64, 48), 40)).mean() < 8


def test_a_video_that_cannot_be_written_says_where(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"absent/a\.mp4"):
        AnnotatedVideo(tmp_path / "absent" / "a.mp4", (64, 48))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").symlink_to("/dev/full")
    with (
        pytest.raises(OutputError, match=r"a\.mp4, got: No space left"),
        AnnotatedVideo(tmp_path / "a.mp4", (64, 48)) as video,
    ):
        for index in range(200):
            video.write(ramp((64, 48), index), index * 10**7)


def test_an_empty_video_closes(tmp_path: Path) -> None:
    AnnotatedVideo(tmp_path / "a.mp4", (64, 48)).close()


def test_regions_without_a_masklet_are_told_apart() -> None:
    first, second = square(40, 40, 0), square(40, 40, 0, shift=5)
    tracked = square(40, 40, 3)
    apart = told_apart((first, tracked, second, first))
    assert [apart[region].track_id for region in (first, tracked, second)] == [-1, 3, -2]
    assert [name(apart[region].track_id) for region in (first, tracked, second)] == ["a", "#3", "b"]
    assert apart[second].mask == second.mask
    assert len({colour(region.track_id) for region in apart.values()}) == 3


def test_the_page_uses_the_same_colours() -> None:
    script = (Path(annotated_video.__file__).parents[1] / "server/web/masks.js").read_text("utf-8")
    shown = re.findall(r"#([0-9a-f]{6})'", script.split("COLOURS = [")[1].split("]")[0])
    assert [tuple(bytes.fromhex(code)) for code in shown] == list(PALETTE)
