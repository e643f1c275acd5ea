"""Pictures as they are meant to be seen: turned, mirrored, of high dynamic range, interlaced."""

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from stream.frame import Image
from stream.sources.pixels import BT2020, HLG, PQ, SDR_GAMMA, TO_BT709, WHITE_NITS, to_rgb
from stream.sources.video import VideoReader

ONE = 0x10000
Floats = npt.NDArray[np.float64]
CORNER = np.array([[3, 0], [0, 0]])  # brighter at the top left
MATRICES = {  # a, b, c, d: what is shown
    (1, 0, 0, 1): CORNER,
    (0, 1, -1, 0): np.rot90(CORNER, -1),  # clockwise, as a phone held upright writes
    (-1, 0, 0, -1): np.rot90(CORNER, 2),
    (0, -1, 1, 0): np.rot90(CORNER),
    (-1, 0, 0, 1): CORNER[:, ::-1],  # a selfie's mirror
    (1, 0, 0, -1): CORNER[::-1],
    (0, 1, 1, 0): CORNER.T,
    (0, -1, -1, 0): np.rot90(CORNER, 2).T,
}


def write_clip(path: Path, image: Image) -> bytes:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=30, options={"crf": "5"})
        stream.height, stream.width = image.shape[:2]
        stream.pix_fmt = "yuv420p"
        out.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        out.mux(stream.encode(None))
    return path.read_bytes()


@pytest.mark.parametrize("matrix", MATRICES)
def test_every_display_matrix(tmp_path: Path, matrix: tuple[int, int, int, int]) -> None:
    image = np.full((64, 96, 3), 30, np.uint8)
    image[:32, :48] = 220
    path = tmp_path / "a.mp4"
    data = bytearray(write_clip(path, image))
    plain = struct.pack(">9i", ONE, 0, 0, 0, ONE, 0, 0, 0, 0x40000000)
    at = data.find(plain, data.find(b"tkhd"))
    a, b, c, d = (ONE * value for value in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 0x40000000)
    path.write_bytes(data)
    reader = VideoReader(path)
    seen = next(reader.read(0)).image
    wanted = MATRICES[matrix]
    assert seen.shape[:2] == ((64, 96) if matrix[0] else (96, 64))
    assert (reader.info().height, reader.info().width) == seen.shape[:2]
    height, width = seen.shape[:2]
    quarters = seen[height // 4 :: height // 2, width // 4 :: width // 2, 0] > 120
    np.testing.assert_array_equal(quarters, wanted > 0)


def pq_signal(nits: Floats) -> Floats:
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    power = (nits / 10_000) ** m1
    signal: Floats = ((c1 + c2 * power) / (1 + c3 * power)) ** m2
    return signal


def hlg_signal(nits: Floats) -> Floats:
    """Of a display of 1,000 nits: its light back to the scene's, and that to the signal."""
    light = nits / 1000
    brightness = light @ np.array([0.2627, 0.678, 0.0593])
    scene = light * np.maximum(brightness, 1e-9)[..., None] ** (1 / 1.2 - 1)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    bright = a * np.log(np.maximum(12 * scene - b, 1e-9)) + c
    signal: Floats = np.where(scene <= 1 / 12, np.sqrt(3 * np.maximum(scene, 0)), bright)
    return signal


@pytest.mark.parametrize("transfer,signal", [(PQ, pq_signal), (HLG, hlg_signal)])
def test_high_dynamic_range_looks_as_the_standard_one_does(
    transfer: int, signal: Callable[[Floats], Floats]
) -> None:
    colours = np.array(
        [[20, 20, 20], [128, 128, 128], [200, 60, 40], [60, 160, 80], [40, 70, 190], [230] * 3],
        np.uint8,
    )
    light = (colours / 255.0) ** SDR_GAMMA @ np.linalg.inv(TO_BT709).T * WHITE_NITS
    coded = np.rint(65535 * signal(light)).astype(np.uint16)
    image = np.repeat(np.repeat(coded[None], 16, 0), 16, 1)
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgb48le")
    picture.color_trc, picture.color_primaries = transfer, BT2020
    seen = to_rgb(picture)[8, 8::16].astype(int)
    assert np.abs(seen - colours).max() <= 4


def test_standard_pictures_are_as_they_were() -> None:
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    np.testing.assert_array_equal(to_rgb(av.VideoFrame.from_ndarray(image, "rgb24")), image)


@pytest.mark.parametrize(
    "aspect,size",
    [("12/11", (48, 70)), ("3/4", (64, 64)), ("1/1", (48, 64)), ("100/1", (48, 64))],
)
def test_pixels_are_made_square(tmp_path: Path, aspect: str, size: tuple[int, int]) -> None:
    path = tmp_path / "anamorphic.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(aspect)
        picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 90, np.uint8), "rgb24")
        container.mux([*stream.encode(picture), *stream.encode(None)])
    reader = VideoReader(path)
    (frame,) = reader.read(0)
    assert frame.image.shape[:2] == size == (reader.info().height, reader.info().width)


@pytest.mark.parametrize("height", [47, 48])
def test_combs_of_interlaced_pictures_are_smoothed(tmp_path: Path, height: int) -> None:
    image = np.full((height, 64, 3), 60, np.uint8)
    image[::2, 10:30] = 200  # a thing in the first field,
    image[1::2, 18:38] = 200  # which has moved in the second
    flat = av.VideoFrame.from_ndarray(image, "rgb24")
    assert combs(to_rgb(flat)) > 300  # nothing says that it is interlaced

    class Interlaced:
        interlaced_frame, side_data = True, flat.side_data
        color_trc = color_primaries = 0

        def to_ndarray(self, format: str) -> Image:
            return image

    smooth = to_rgb(Interlaced())
    assert combs(smooth) == 0 and (smooth[:-1:2] == image[:-1:2]).all()


def combs(image: Image) -> int:
    """Pixels that differ from those above and below in the same way."""
    rows = image[..., 0].astype(int)
    steps = (rows[1:-1] - rows[:-2]) * (rows[1:-1] - rows[2:])
    return int((steps > 100).sum())


def test_an_interlaced_file_is_decoded_without_combs(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    image = np.full((64, 96, 3), 60, np.uint8)
    image[::2, 10:40] = 200
    image[1::2, 30:60] = 200
    with av.open(str(path), "w") as out:
        options = {"crf": "1", "x264-params": "interlaced=1"}
        stream = out.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv444p"
        frame = av.VideoFrame.from_ndarray(image, "rgb24")
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    assert combs(next(VideoReader(path).read(0)).image) < combs(image) / 20
