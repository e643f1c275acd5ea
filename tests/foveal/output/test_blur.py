"""Faces are hidden before anything is stored: also in frames in which they were not found."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data

from foveal.assets.convert import network_path
from foveal.live.recording import CLIP, SUMMARY, FileRecording
from foveal.output.blur import MAX_WAITING, BlurConfig, FaceBlur, pixelated
from foveal.setup.faces import FACES, blur_maker
from perception.detect.faces import MODEL, FaceDetector
from stream.clock import NS_PER_MS, VirtualClock
from stream.errors import MissingAssetError, OutputError
from stream.frame import Frame, Image
from stream.geometry import Box
from stream.sources.open import open_source
from stream.sources.playback import PlaybackOptions

FACE: Box = (40, 30, 80, 90)


def noise(number: int, size: tuple[int, int] = (120, 160)) -> Image:
    return np.random.default_rng(number).integers(0, 256, (*size, 3), np.uint8)


def frames(count: int, gap_ms: int = 66) -> list[Frame]:
    return [Frame(number * gap_ms * NS_PER_MS, 0, noise(number), "test") for number in range(count)]


class ScriptedFaces:
    """Finds the face in some of the frames."""

    def __init__(self, found: Sequence[bool]) -> None:
        self._found, self._at = found, 0

    def __call__(self, _: Image) -> list[Box]:
        self._at += 1
        return [FACE] if self._found[self._at - 1] else []


def hidden(before: Frame, after: Frame) -> bool:
    """Whether nothing of the face's detail is left; checks that the rest is as it was."""
    x0, y0, x1, y1 = FACE
    outside = np.ones(before.size, bool)
    outside[: y1 + 60, : x1 + 60] = False
    np.testing.assert_array_equal(before.image[outside], after.image[outside])
    return squares(after.image[y0:y1, x0:x1])


def squares(image: Image) -> bool:
    """Whether it is made of squares of one colour: most pixels are like their neighbour."""
    return bool(np.mean((image[:, 1:] == image[:, :-1]).all(axis=2)) > 0.6)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=45), st.sampled_from([20, 66, 500, 2000]))
def test_every_frame_comes_out_once_and_hidden_around_each_find(
    found: list[bool], gap_ms: int
) -> None:
    config, given_frames = BlurConfig(), frames(len(found), gap_ms)
    blur = FaceBlur(ScriptedFaces(found), config)
    out = [one for frame in given_frames for one in blur.step(frame)]
    out += blur.flush()
    assert [one.pts_ns for one in out] == [one.pts_ns for one in given_frames]
    reach = max(config.keep_frames, min(config.keep_ns // (gap_ms * NS_PER_MS), MAX_WAITING))
    for number, (before, after) in enumerate(zip(given_frames, out, strict=True)):
        near = any(found[max(0, number - reach) : number + reach + 1])
        assert hidden(before, after) == near
        if not near:
            assert after.image is before.image
    assert (blur.hidden > 0) == any(found)
    assert blur.flush() == []


def test_frames_wait_only_as_long_as_a_later_find_may_concern_them() -> None:
    blur, waits = FaceBlur(ScriptedFaces([False] * 200)), 0
    for number, frame in enumerate(frames(100)):
        waits = max(waits, number + 1 - sum(1 for _ in blur.step(frame)))
        assert len(blur._waiting) <= 0.6 / 0.066 + 2
    fast = FaceBlur(ScriptedFaces([False] * 200))
    for frame in frames(100, gap_ms=1):
        fast.step(frame)
        assert len(fast._waiting) <= MAX_WAITING


def test_what_is_hidden_cannot_be_told_from_another_of_the_same_means() -> None:
    picture = noise(3)
    once = pixelated(picture, [FACE], 5)
    shuffled = picture.copy()
    x0, y0 = FACE[:2]  # 40 x 60: cells of 8 x 12
    cell = shuffled[y0 : y0 + 12, x0 : x0 + 8]
    cell[:] = np.random.default_rng(0).permutation(cell.reshape(-1, 3)).reshape(cell.shape)
    np.testing.assert_array_equal(pixelated(shuffled, [FACE], 5), once)
    np.testing.assert_array_equal(pixelated(picture, [(5, 5, 5, 9)], 5), picture)


def astronaut(offset: int) -> Image:
    """A room-sized picture with a person in it, who moves."""
    picture = np.full((540, 960, 3), 110, np.uint8)
    picture[::7] = 140
    picture[14:526, 200 + offset : 712 + offset] = data.astronaut()
    return picture


@pytest.mark.assets
async def test_a_recording_holds_no_face(tmp_path: Path) -> None:
    try:
        detector = FaceDetector.load(network_path(FACES, MODEL))
    except MissingAssetError as error:
        pytest.skip(str(error))
    seen = [Frame(n * 66 * NS_PER_MS, 0, astronaut(4 * n), "test") for n in range(6)]
    blank = np.full((540, 960, 3), 110, np.uint8)
    shown = [replace(seen[0], image=blank, pts_ns=n * 66 * NS_PER_MS) for n in range(2)]
    seen = shown + [replace(one, pts_ns=one.pts_ns + 132 * NS_PER_MS) for one in seen]
    recording = FileRecording(tmp_path / "one", 60.0, blur_maker()())
    for frame in seen:
        recording.frame(frame)
    with pytest.raises(OutputError, match="changed its size"):
        recording.frame(replace(seen[0], image=noise(1)))
    recording.close("asked for")
    assert '"faces": "hidden"' in (tmp_path / "one" / SUMMARY).read_text()
    source = open_source(str(tmp_path / "one" / CLIP), VirtualClock(), PlaybackOptions(rate=0))
    kept = [frame async for frame in source.frames()]
    assert [frame.pts_ns for frame in kept] == [frame.pts_ns for frame in seen]
    for number, (before, after) in enumerate(zip(seen, kept, strict=True)):
        assert detector.faces(after.image) == []
        if number >= 2:
            (face,) = detector.faces(before.image)
            x0, y0, x1, y1 = face
            assert squares(after.image[y0:y1, x0:x1])
            assert not squares(before.image[y0:y1, x0:x1])
        np.testing.assert_array_equal(after.image[400:], before.image[400:])  # hands, suit, room
