"""Clips with exact masks for training the tracker: cut-outs moved over photographs.

Cut-outs move, turn, grow, bend, roll (their texture slides inside their outline, as on a thing that
turns away), blur and pass behind each other and behind bars; look-alikes are put beside them. In
some clips the object stays in its own photograph, whose borders are real, and the whole bends.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from foveal.training.tracker.cutouts import CutOut, bars, blob, read_photograph
from stream.frame import Image
from stream.geometry import mask_box

SIZE = (288, 512)  # height, width of a rendered frame
GRID = (32, 56)  # of `Clip.places`: feature cells at 256 rows
IN_PLACE = 0.35  # share of clips whose first object stays in its photograph
MESH = 8  # pixels between the points where a motion is computed
LIMB_REACH = (0.0, 0.05, 0.1)  # how far parts swing, as a share of the object's size
MIN_VISIBLE = 600  # pixels of an object in the first frame

Floats = npt.NDArray[np.float64]  # [n] one value per frame
Plane = npt.NDArray[np.float32]
Rng = np.random.Generator


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """Rendered frames with the truth."""

    images: list[Image]  # [288, 512, 3]
    masks: npt.NDArray[np.bool_]  # [objects, frames, 288, 512]; all to be seen in the first frame
    places: Plane  # [frames, 3, 32, 56]: layer, and column and row in that layer's own picture


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """How a cut-out moves: one value per frame, lengths as shares of the frame."""

    x: Floats
    y: Floats
    scale: Floats
    angle: Floats
    stretch: Floats
    shear: Floats
    bend: tuple[Floats, Floats]
    phase: Floats  # [3]
    gain: Floats
    roll: Floats  # how far the texture slid, as a share of the object's width
    limbs: npt.NDArray[np.float32]  # [n, 4, 4, 2] how its parts moved, as shares of its size
    size: float


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One picture of the stack."""

    paint: Image
    alpha: npt.NDArray[np.uint8]
    motion: Motion
    target: bool


@dataclass(frozen=True, slots=True)
class Pace:
    """How lively a clip is."""

    stride: float  # time between frames, in thirtieths of a second
    speed: float
    turn: float  # degrees
    grow: float  # in powers of e
    roll: float
    blur: float


def render_clip(cuts: Sequence[CutOut], photographs: Sequence[Path], rng: Rng, count: int) -> Clip:
    """One clip of `count` frames; at least one object is to be seen for most of it."""
    while True:
        clip = _render(cuts, photographs, rng, count)
        seen = clip.masks.sum((2, 3)) if len(clip.masks) else np.zeros((0, 1))
        keep = [
            index
            for index, areas in enumerate(seen)
            if areas[0] > MIN_VISIBLE and np.mean(areas > 0.25 * MIN_VISIBLE) > 0.6
        ]
        if keep:
            return Clip(clip.images, clip.masks[keep], clip.places)


def _pace(rng: Rng) -> Pace:
    stride = float(rng.choice([1.0, 2.0, 4.0]))
    return Pace(
        stride,
        speed=float(rng.choice([0.3, 0.6, 1.2])),
        turn=float(rng.choice([8, 25, 90])),
        grow=float(rng.choice([0.3, 0.9])),
        roll=float(rng.choice([0.0, 0.0, 0.3, 0.6])),
        blur=float(rng.choice([0.0, 0.5])),
    )


def _render(cuts: Sequence[CutOut], photographs: Sequence[Path], rng: Rng, count: int) -> Clip:
    pace = _pace(rng)
    ground, layers = _cast(cuts, photographs, rng, count, pace)
    camera = _motion(rng, count, Pace(pace.stride, 0.6, 8, 0.3, 0, 0))
    noise, quality = float(rng.uniform(0, 5)), int(rng.integers(60, 95))
    photograph = read_photograph(ground.path)
    images, masks, places = [], [], []
    for index in range(count):
        canvas, own, place = _ground(photograph, ground.mask, camera, index)
        visible = [own]
        for number, layer in enumerate(layers, 1):
            colours, alpha, where = _layer(layer, index, pace.blur)
            canvas = canvas * (1 - alpha[..., None]) + colours * alpha[..., None]
            visible = [soft * (1 - alpha) for soft in visible] + [alpha]
            over = _at_cells(alpha) >= 0.5
            place = np.where(over, np.stack([np.full(GRID, number), *map(_at_cells, where)]), place)
        images.append(_camera_noise(canvas, rng, noise, quality))
        wanted = [ground.category != -2, *(layer.target for layer in layers)]
        masks.append([soft >= 0.5 for soft, keep in zip(visible, wanted, strict=True) if keep])
        places.append(place.astype(np.float32))
    stacked = np.array(masks).swapaxes(0, 1) if masks[0] else np.zeros((0, count, *SIZE), bool)
    return Clip(images, stacked, np.stack(places))


def _cast(
    cuts: Sequence[CutOut], photographs: Sequence[Path], rng: Rng, count: int, pace: Pace
) -> tuple[CutOut, list[Layer]]:
    """The ground (category -2 where it holds no object) and what lies on it, from back to front."""
    main = cuts[int(rng.integers(len(cuts)))]
    in_place = rng.random() < IN_PLACE and main.category >= 0
    others = [_companion(cuts, main, photographs, rng) for _ in range(int(rng.integers(3)))]
    chosen = others if in_place else [main, *others]
    layers = [_on_stage(cut, _motion(rng, count, pace), True) for cut in chosen]
    rng.shuffle(layers)
    if rng.random() < 0.3:
        motion = _motion(rng, count, Pace(pace.stride, 0.6, 8, 0.1, 0, 0))
        layers.append(_on_stage(bars(_pick(photographs, rng), rng), motion, False))
    if in_place:
        return main, layers
    path = _pick(photographs, rng)
    return CutOut(path, np.full(read_photograph(path).shape[:2], 255, np.uint8), -2), layers


def _pick(photographs: Sequence[Path], rng: Rng) -> Path:
    return photographs[int(rng.integers(len(photographs)))]


def _companion(
    cuts: Sequence[CutOut], main: CutOut, photographs: Sequence[Path], rng: Rng
) -> CutOut:
    """Another object: the same one, one of its kind, anything, or a patch of a photograph."""
    kind = [cut for cut in cuts if cut.category == main.category and cut is not main]
    choice = rng.random()
    if choice < 0.3:
        return main
    if choice < 0.55:
        return blob(_pick(photographs, rng), rng)
    pool = kind if kind and choice < 0.8 else cuts
    return pool[int(rng.integers(len(pool)))]


def _on_stage(cut: CutOut, motion: Motion, target: bool) -> Layer:
    """Cut to the object's box, so that a texture that rolls comes back from its other side."""
    around = mask_box(cut.mask > 0)
    assert around is not None, "a cut-out is not empty"
    box = (slice(around[1], around[3]), slice(around[0], around[2]))
    return Layer(read_photograph(cut.path)[box], cut.mask[box], motion, target)


def _motion(rng: Rng, count: int, pace: Pace) -> Motion:
    reach = min(1.0, 0.5 * pace.speed + 0.3)
    periods = (20.0, 60.0) if pace.speed > 1 else (30.0, 150.0)

    def wave(amplitude: float, low: float, high: float) -> Floats:
        return _wave(rng, count, pace.stride, amplitude, (low, high))

    return Motion(
        x=rng.uniform(0.3, 0.7) + wave(0.35 * reach, *periods),
        y=rng.uniform(0.4, 0.65) + wave(0.18 * reach, *periods),
        scale=np.exp(wave(pace.grow, 30, 120)),
        angle=np.deg2rad(wave(pace.turn, 20, 90)),
        stretch=np.exp(wave(0.25, 25, 80)),
        shear=wave(0.15, 20, 80),
        bend=(wave(float(rng.choice([0, 0.03, 0.06])), 10, 40), wave(0.04, 10, 40)),
        phase=rng.uniform(0, 2 * np.pi, 3),
        gain=np.exp(wave(0.25, 20, 80)),
        roll=wave(pace.roll, 40, 150),
        limbs=_limbs(rng, count, pace),
        size=float(rng.uniform(0.15, 0.8)),
    )


def _limbs(rng: Rng, count: int, pace: Pace) -> npt.NDArray[np.float32]:
    """Parts on a coarse grid swing on their own, as legs and arms do."""
    reach = float(rng.choice(LIMB_REACH))
    waves = [_wave(rng, count, pace.stride, reach, (8.0, 40.0)) for _ in range(32)]
    return np.stack(waves, 1).reshape(count, 4, 4, 2).astype(np.float32)


def _wave(
    rng: Rng, count: int, stride: float, amplitude: float, periods: tuple[float, float]
) -> Floats:
    """Two slow sine waves, at most `amplitude` in size."""
    time = np.arange(count) * stride
    total = np.zeros(count)
    for _ in range(2):
        phase = time / rng.uniform(*periods) + rng.random()
        total += rng.uniform(0.3, 1) * np.sin(2 * np.pi * phase)
    return np.asarray(total / 2 * amplitude, np.float64)


def _layer(layer: Layer, index: int, blur: float) -> tuple[Plane, Plane, tuple[Plane, Plane]]:
    """A cut-out as a full frame of colours [H, W, 3], its opacity, where its pixels are from."""
    height, width = SIZE
    rows, cols = layer.alpha.shape
    motion = layer.motion
    side = max(rows, cols)
    scale = motion.size * height / side * motion.scale[index]
    place = (motion.x[index] * width, motion.y[index] * height)
    u, v = _mesh(motion, index, scale, side, place)
    u, v = u + np.float32(cols / 2), v + np.float32(rows / 2)
    alpha = cv2.remap(layer.alpha, u, v, cv2.INTER_LINEAR).astype(np.float32) / 255
    alpha = cv2.GaussianBlur(alpha, (3, 3), 0)
    u = u + np.float32(motion.roll[index] * cols)
    paint = cv2.remap(layer.paint, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    colours = np.asarray(paint * motion.gain[index], np.float32)
    step = np.array([np.gradient(motion.x)[index] * width, np.gradient(motion.y)[index] * height])
    colours, alpha = _motion_blur(colours, np.asarray(alpha, np.float32), step * blur)
    return colours, alpha, (u, v)


def _ground(
    image: Image, mask: npt.NDArray[np.uint8], motion: Motion, index: int
) -> tuple[Plane, Plane, npt.NDArray[np.float64]]:
    """The photograph behind everything, its own object's mask, and where its cells are from."""
    height, width = SIZE
    rows, cols = image.shape[:2]
    scale = 1.2 * max(width / cols, height / rows) * motion.scale[index]
    place = (
        width * (0.75 * 0.5 + 0.25 * motion.x[index]),
        height * (0.375 + 0.25 * motion.y[index]),
    )
    u, v = _mesh(motion, index, scale, 0.5 * max(rows, cols), place)
    inside = np.argwhere(mask)
    middle = 0.4 * np.array([rows, cols]) / 2 + 0.6 * inside.mean(axis=0)
    u, v = u + np.float32(middle[1]), v + np.float32(middle[0])
    canvas = cv2.remap(image, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    own = cv2.remap(mask, u, v, cv2.INTER_LINEAR).astype(np.float32) / 255
    place_of = np.stack([np.zeros(GRID), _at_cells(u), _at_cells(v)])
    return np.asarray(canvas, np.float32), np.asarray(own, np.float32), place_of


def _mesh(
    motion: Motion, index: int, scale: float, side: float, place: tuple[float, float]
) -> tuple[Plane, Plane]:
    """For every pixel of the frame, the place in the cut-out's own, centred pixels."""
    height, width = SIZE
    cos, sin = math.cos(motion.angle[index]), math.sin(motion.angle[index])
    stretch = motion.stretch[index]
    turned = np.array([[cos, -sin], [sin, cos]]) @ np.array(
        [[stretch, motion.shear[index]], [0, 1 / stretch]]
    )
    inverse = np.linalg.inv(turned * scale)
    y, x = np.mgrid[: height // MESH, : width // MESH].astype(np.float32) * MESH + (MESH - 1) / 2
    x, y = x - place[0], y - place[1]
    u, v = inverse[0, 0] * x + inverse[0, 1] * y, inverse[1, 0] * x + inverse[1, 1] * y
    wave, slow, turn = motion.bend[0][index], motion.bend[1][index], 2 * np.pi / side
    bent_u = u + side * (
        wave * np.sin(turn * v * 1.5 + motion.phase[0])
        + slow * np.sin(turn * v * 0.7 + motion.phase[1])
    )
    bent_v = v + side * slow * np.sin(turn * u * 1.2 + motion.phase[2])
    at = [np.asarray(np.clip(3 * (axis / side + 0.5), 0, 3), np.float32) for axis in (u, v)]
    swing = side * cv2.remap(motion.limbs[index], at[0], at[1], cv2.INTER_CUBIC)
    bent_u, bent_v = bent_u + swing[..., 0], bent_v + swing[..., 1]
    fine = [
        cv2.resize(bent.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
        for bent in (bent_u, bent_v)
    ]
    return np.asarray(fine[0], np.float32), np.asarray(fine[1], np.float32)


def _at_cells(plane: Plane) -> Plane:
    """[288, 512] -> its values at the middle of each of GRID's cells."""
    rows = ((np.arange(GRID[0]) + 0.5) * SIZE[0] / GRID[0]).astype(int)
    cols = ((np.arange(GRID[1]) + 0.5) * SIZE[1] / GRID[1]).astype(int)
    return np.asarray(plane[np.ix_(rows, cols)], np.float32)


def _motion_blur(paint: Plane, alpha: Plane, step: Floats) -> tuple[Plane, Plane]:
    length = min(31, int(np.hypot(*step))) | 1
    if length < 3:
        return paint, alpha
    kernel = np.zeros((length, length), np.float32)
    unit = step / np.hypot(*step) * length
    ends = [
        (round(length // 2 + s * unit[0] / 2), round(length // 2 + s * unit[1] / 2))
        for s in (-1, 1)
    ]
    cv2.line(kernel, ends[0], ends[1], 1.0)
    kernel /= kernel.sum()
    spread = cv2.filter2D(alpha, -1, kernel)
    colours = (
        cv2.filter2D(paint * alpha[..., None], -1, kernel) / np.maximum(spread, 1e-3)[..., None]
    )
    return np.asarray(colours, np.float32), np.asarray(spread, np.float32)


def _camera_noise(canvas: Plane, rng: Rng, noise: float, quality: int) -> Image:
    grain = rng.standard_normal(canvas.shape, dtype=np.float32) * noise
    exact = np.clip(canvas + grain, 0, 255).astype(np.uint8)
    _, code = cv2.imencode(".jpg", exact, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), np.uint8)
