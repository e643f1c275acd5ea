"""Clips with exact masks for training the tracker's head: cut-outs moved over photographs.

Two kinds, both from photographs with polygons (COCO's form): pasted cut-outs that move, turn,
scale, bend and blur over another photograph, with look-alikes and things passing in front; and
whole photographs that move and bend with their own object in place, whose borders are real.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from stream.frame import Image, Mask

SIZE = (360, 640)  # height, width of a rendered frame
MIN_SHARE, MAX_SHARE = 0.02, 0.6  # of its photograph that a cut-out covers
IN_PLACE = 0.4  # share of clips of the second kind

Floats = npt.NDArray[np.float64]  # [n] one value per frame
Plane = npt.NDArray[np.float32]
Rng = np.random.Generator


@dataclass(frozen=True, slots=True, eq=False)
class CutOut:
    """One annotated object in its photograph."""

    path: Path
    mask: npt.NDArray[np.uint8]  # [h, w] 0 or 255
    category: int


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
    size: float


def read_cut_outs(images: Path, annotations: Path) -> list[CutOut]:
    """Objects of a COCO instances file that are whole and large enough."""
    document = json.loads(annotations.read_text(encoding="utf-8"))
    infos = {info["id"]: info for info in document["images"]}
    found = []
    for entry in document["annotations"]:
        info = infos[entry["image_id"]]
        path = images / info["file_name"]
        if entry.get("iscrowd") or not path.is_file():
            continue
        mask = np.zeros((info["height"], info["width"]), np.uint8)
        for polygon in entry["segmentation"]:
            points = np.round(np.array(polygon, np.float64).reshape(-1, 2)).astype(np.int32)
            cv2.fillPoly(mask, [points], 255)
        if _is_whole(mask):
            found.append(CutOut(path, mask, entry["category_id"]))
    return found


def read_yolo_cut_outs(images: Path, labels: Path) -> list[CutOut]:
    """The same from YOLO's segmentation text: one line `class x y x y ...`, 0..1, per object."""
    found = []
    for file in sorted(labels.rglob("*.txt")):
        path = next(iter(images.rglob(f"{file.stem}.jpg")), None)
        if path is None:
            continue
        height, width = _read(path).shape[:2]
        for line in file.read_text(encoding="utf-8").splitlines():
            category, *numbers = line.split()
            points = np.array(numbers, np.float64).reshape(-1, 2) * [width, height]
            mask = np.zeros((height, width), np.uint8)
            cv2.fillPoly(mask, [np.round(points).astype(np.int32)], 255)
            if _is_whole(mask):
                found.append(CutOut(path, mask, 1000 + int(category)))
    return found


def render_clip(cuts: Sequence[CutOut], rng: Rng, count: int) -> tuple[list[Image], list[Mask]]:
    """One clip of `count` frames [360, 640, 3] and the main object's masks, visible at first."""
    while True:
        images, masks = _render(cuts, rng, count)
        visible = [int(mask.sum()) for mask in masks]
        if visible[0] > 1400 and np.mean(np.array(visible) > 560) > 0.8:
            return images, masks


def _render(cuts: Sequence[CutOut], rng: Rng, count: int) -> tuple[list[Image], list[Mask]]:
    main = cuts[int(rng.integers(len(cuts)))]
    in_place = rng.random() < IN_PLACE
    ground = main if in_place else cuts[int(rng.integers(len(cuts)))]
    speed, blur = float(rng.choice([0.3, 0.6, 1.2])), float(rng.choice([0.0, 0.5]))
    layers = [
        (_companion(cuts, main, rng), _motion(rng, count, speed)) for _ in range(rng.integers(3))
    ]
    place = int(rng.integers(len(layers) + 1))
    if not in_place:
        layers.insert(place, (main, _motion(rng, count, speed)))
    camera = _motion(rng, count, 0.6)
    noise, quality = float(rng.uniform(0, 5)), int(rng.integers(60, 95))
    photographs = {cut.path: _read(cut.path) for cut in (ground, main, *(c for c, _ in layers))}
    images, masks = [], []
    for index in range(count):
        canvas, visible = _ground(photographs[ground.path], ground.mask, camera, index)
        visible = visible if in_place else np.zeros_like(visible)
        for order, (cut, motion) in enumerate(layers):
            paint, alpha = _layer(photographs[cut.path], cut.mask, motion, index, blur)
            canvas = canvas * (1 - alpha[..., None]) + paint * alpha[..., None]
            visible = visible * (1 - alpha)
            if order == place and not in_place:
                visible = np.maximum(visible, alpha)
        images.append(_camera_noise(canvas, rng, noise, quality))
        masks.append(visible >= 0.5)
    return images, masks


def _companion(cuts: Sequence[CutOut], main: CutOut, rng: Rng) -> CutOut:
    """A second object: the same one, one of its kind, or anything."""
    kind = [cut for cut in cuts if cut.category == main.category and cut is not main]
    if rng.random() < 0.25:
        return main
    pool = kind if kind and rng.random() < 0.6 else cuts
    return pool[int(rng.integers(len(pool)))]


def _motion(rng: Rng, count: int, speed: float) -> Motion:
    reach = min(1.0, 0.5 * speed + 0.3)
    pace = (20.0, 60.0) if speed > 1 else (30.0, 150.0)
    return Motion(
        x=rng.uniform(0.3, 0.7) + _wave(rng, count, 0.35 * reach, pace),
        y=rng.uniform(0.4, 0.65) + _wave(rng, count, 0.18 * reach, pace),
        scale=np.exp(_wave(rng, count, 0.45, (30, 120))),
        angle=np.deg2rad(_wave(rng, count, float(rng.choice([8, 25])), (20, 90))),
        stretch=np.exp(_wave(rng, count, 0.25, (25, 80))),
        shear=_wave(rng, count, 0.15, (20, 80)),
        bend=(
            _wave(rng, count, float(rng.choice([0, 0.03, 0.06])), (10, 40)),
            _wave(rng, count, 0.04, (10, 40)),
        ),
        phase=rng.uniform(0, 2 * np.pi, 3),
        gain=np.exp(_wave(rng, count, 0.2, (20, 80))),
        size=float(rng.uniform(0.25, 0.6)),
    )


def _wave(rng: Rng, count: int, amplitude: float, periods: tuple[float, float]) -> Floats:
    """Two slow sine waves, at most `amplitude` in size."""
    time = np.arange(count)
    total = np.zeros(count)
    for _ in range(2):
        phase = time / rng.uniform(*periods) + rng.random()
        total += rng.uniform(0.3, 1) * np.sin(2 * np.pi * phase)
    return np.asarray(total / 2 * amplitude, np.float64)


def _layer(
    image: Image, mask: npt.NDArray[np.uint8], motion: Motion, index: int, blur: float
) -> tuple[Plane, Plane]:
    """A cut-out as a full frame of colours [H, W, 3] and its opacity [H, W]."""
    height, width = SIZE
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    middle = (cols[0] + cols[-1]) / 2, (rows[0] + rows[-1]) / 2
    side = max(cols[-1] - cols[0], rows[-1] - rows[0]) + 1
    scale = motion.size * height / side * motion.scale[index]
    sampled = _mesh(motion, index, scale, side, (motion.x[index] * width, motion.y[index] * height))
    map_x, map_y = sampled[0] + np.float32(middle[0]), sampled[1] + np.float32(middle[1])
    paint = cv2.remap(image, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    alpha = cv2.remap(mask, map_x, map_y, cv2.INTER_LINEAR).astype(np.float32) / 255
    alpha = cv2.GaussianBlur(alpha, (3, 3), 0)
    colours = np.asarray(paint * motion.gain[index], np.float32)
    step = np.array([np.gradient(motion.x)[index] * width, np.gradient(motion.y)[index] * height])
    return _motion_blur(colours, np.asarray(alpha, np.float32), step * blur)


def _ground(
    image: Image, mask: npt.NDArray[np.uint8], motion: Motion, index: int
) -> tuple[Plane, Plane]:
    """The photograph behind everything, and its own object's mask, under a moving camera."""
    height, width = SIZE
    rows, cols = image.shape[:2]
    scale = 1.2 * max(width / cols, height / rows) * motion.scale[index] ** 0.3
    place = (
        width * (0.75 * 0.5 + 0.25 * motion.x[index]),
        height * (0.375 + 0.25 * motion.y[index]),
    )
    sampled = _mesh(motion, index, scale, 0.5 * max(rows, cols), place)
    inside = np.argwhere(mask)
    middle = 0.4 * np.array([rows, cols]) / 2 + 0.6 * inside.mean(axis=0)
    map_x, map_y = sampled[0] + np.float32(middle[1]), sampled[1] + np.float32(middle[0])
    canvas = cv2.remap(image, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    own = cv2.remap(mask, map_x, map_y, cv2.INTER_LINEAR).astype(np.float32) / 255
    return np.asarray(canvas, np.float32), np.asarray(own, np.float32)


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
    y, x = np.mgrid[:height, :width].astype(np.float32)
    x, y = x - place[0], y - place[1]
    u, v = inverse[0, 0] * x + inverse[0, 1] * y, inverse[1, 0] * x + inverse[1, 1] * y
    wave, slow, turn = motion.bend[0][index], motion.bend[1][index], 2 * np.pi / side
    bent_u = u + side * (
        wave * np.sin(turn * v * 1.5 + motion.phase[0])
        + slow * np.sin(turn * v * 0.7 + motion.phase[1])
    )
    bent_v = v + side * slow * np.sin(turn * u * 1.2 + motion.phase[2])
    return bent_u.astype(np.float32), bent_v.astype(np.float32)


def _motion_blur(paint: Plane, alpha: Plane, step: Floats) -> tuple[Plane, Plane]:
    length = int(np.hypot(*step)) | 1
    if length < 3:
        return paint, alpha
    kernel = np.zeros((length, length), np.float32)
    ends = [
        (round(length // 2 + s * step[0] / 2), round(length // 2 + s * step[1] / 2))
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


def _is_whole(mask: npt.NDArray[np.uint8]) -> bool:
    share = float((mask > 0).mean())
    borders = sum(bool(edge.any()) for edge in (mask[:3], mask[-3:], mask[:, :3], mask[:, -3:]))
    return MIN_SHARE <= share <= MAX_SHARE and borders <= 1


def _read(path: Path) -> Image:
    return np.asarray(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB), np.uint8)
