"""Clips spliced with exactly known cuts: photographs seen by a shaking head camera, real clips.

Everything follows from the seed. A photograph segment pans, rolls and zooms slowly, trembles,
turns away fast now and then (a head turn is not a cut), drifts in exposure and carries sensor
noise. A clip segment is a span of a real single-shot clip or image sequence.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from stream.frame import Image

FPS = 25
MIN_SHOT, MAX_SHOT = 20, 110  # frames
PHOTOGRAPHS = (  # of the scikit-image wheel
    *("astronaut", "camera", "chelsea", "coffee", "rocket", "retina", "motorcycle_left"),
    *("brick", "grass", "gravel", "hubble_deep_field", "coins", "moon", "ihc"),
)
NOISE_TILES = 4

Shot = Callable[[np.random.Generator, int], Iterator[Image]]  # (rng, frames) -> frames of one size


@dataclass(frozen=True, slots=True)
class Path2D:
    """A camera's way over a photograph, one row per frame."""

    centre: npt.NDArray[np.float64]  # [N, 2] fraction of the free play, 0..1
    roll: npt.NDArray[np.float64]  # [N] degrees
    zoom: npt.NDArray[np.float64]  # [N] view width as a fraction of the photograph's
    gain: npt.NDArray[np.float64]  # [N] exposure


def splice(
    shots: Sequence[Shot], frames: int, seed: int, size: tuple[int, int]
) -> Iterator[tuple[Image, bool]]:
    """Yield (frame [H, W, 3] RGB, is the first frame of a new shot); the first frame is no cut.

    `size` is (width, height) in pixels; neighbouring shots are never of the same source.
    """
    rng = np.random.default_rng(seed)
    made, last = 0, -1
    while made < frames:
        choice = int(rng.integers(len(shots)))
        if choice == last:
            continue
        last, first = choice, made > 0
        length = int(rng.integers(MIN_SHOT, MAX_SHOT + 1))
        for image in shots[choice](rng, length):
            if image.shape[1::-1] != size:
                image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            yield image, first
            first, made = False, made + 1


def package_photographs() -> list[Image]:
    """The photographs that come inside the scikit-image wheel, RGB."""
    import skimage

    folder = Path(skimage.__file__).parent / "data"
    found = [path for name in PHOTOGRAPHS for path in sorted(folder.glob(f"{name}.*"))]
    return [_read(path) for path in found]


def photograph_shot(photograph: Image, size: tuple[int, int]) -> Shot:
    """A shot of one photograph by a head camera."""

    def play(rng: np.random.Generator, frames: int) -> Iterator[Image]:
        way = _wander(rng, frames)
        noise = [_noise(rng, size) for _ in range(NOISE_TILES)]
        for index in range(frames):
            view = _view(photograph, way, index, size)
            tile = noise[int(rng.integers(NOISE_TILES))]
            # Noise is positive by 8 so that it fits unsigned bytes; take that off again.
            lit = cv2.convertScaleAbs(view, alpha=float(way.gain[index]))
            yield cv2.subtract(cv2.add(lit, tile), (8, 8, 8, 0))

    return play


def clip_shot(images: Sequence[Image]) -> Shot:
    """A shot that plays a random span of a real clip (as long as the clip has frames)."""

    def play(rng: np.random.Generator, frames: int) -> Iterator[Image]:
        start = int(rng.integers(max(1, len(images) - frames)))
        yield from images[start : start + frames]

    return play


def read_video(path: Path, size: tuple[int, int]) -> list[Image]:
    """All frames of a video file, shrunk to (width, height)."""
    from stream.sources.video import VideoReader

    return [
        cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA)
        for frame in VideoReader(path).read(0)
    ]


def read_folder(folder: Path, size: tuple[int, int]) -> list[Image]:
    """All JPEG frames of an image sequence, in name order."""
    return [
        cv2.resize(_read(path), size, interpolation=cv2.INTER_AREA)
        for path in sorted(folder.glob("*.jpg"))
    ]


def _read(path: Path) -> Image:
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _wander(rng: np.random.Generator, frames: int) -> Path2D:
    """Slow pan, tremble (AR(1)), and fast turns; all at 25 frames per second."""
    t = np.arange(frames) / FPS
    pan = rng.uniform(-0.25, 0.25, 2) * t[:, None] + rng.uniform(0.2, 0.8, 2)
    for _ in range(rng.poisson(t[-1] * 0.4)):  # head turns of 0.15 to 0.5 s
        begin, length = rng.uniform(0, t[-1]), rng.uniform(0.15, 0.5)
        ease = np.clip((t - begin) / length, 0, 1)
        pan += rng.uniform(-0.6, 0.6, 2) * (ease * ease * (3 - 2 * ease))[:, None]
    tremble = np.zeros((frames, 3))
    for index in range(1, frames):
        tremble[index] = 0.85 * tremble[index - 1] + rng.normal(0, 1, 3)
    amount = rng.uniform(0.001, 0.008)
    centre = 0.5 - 0.5 * np.cos(np.pi * (pan + amount * tremble[:, :2]))  # reflects at the edges
    roll = rng.uniform(-8, 8) + 40 * amount * tremble[:, 2]
    zoom = np.clip(rng.uniform(0.35, 0.7) * (1 + rng.uniform(-0.06, 0.06) * t), 0.25, 0.8)
    gain = rng.uniform(0.7, 1.2) * (1 + 0.15 * np.sin(2 * np.pi * t * rng.uniform(0.05, 0.3)))
    return Path2D(centre, roll, zoom, gain)


def _view(photograph: Image, way: Path2D, index: int, size: tuple[int, int]) -> Image:
    height, width = photograph.shape[:2]
    scale = min(width / size[0], height / size[1]) * way.zoom[index]
    play = np.array([width - size[0] * scale, height - size[1] * scale])
    middle = way.centre[index] * play + np.array(size) * scale / 2
    # The transform from frame pixels to photograph pixels, given inverted.
    turn = np.deg2rad(way.roll[index])
    matrix = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    offset = middle - matrix @ (np.array(size) / 2)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    view = cv2.warpAffine(
        photograph,
        np.column_stack([matrix, offset]),
        size,
        flags=flags,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return np.asarray(view, dtype=np.uint8)


def _noise(rng: np.random.Generator, size: tuple[int, int]) -> Image:
    tile = np.clip(rng.normal(8, rng.uniform(1, 3), (size[1], size[0], 3)), 0, 16)
    return tile.astype(np.uint8)
