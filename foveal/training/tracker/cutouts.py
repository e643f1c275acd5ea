"""Objects to make training clips of: annotated photographs, stamps, blobs and bars."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from perception.features.backbone import Backbone
from perception.masks.grabcut import refine_seed
from stream.errors import SourceError
from stream.frame import Image
from stream.geometry import components

MIN_SHARE, MAX_SHARE = 0.02, 0.6  # of its photograph that a cut-out covers
MIN_COLOURS = 200  # of a stamp; drawings have fewer
WEAK_PEAK = 0.25  # of an activation map's peak, from which the object is likely
LONG_SIDE = 640  # pixels of a photograph as it is used

Alpha = npt.NDArray[np.uint8]  # [h, w] 0 or 255
Rng = np.random.Generator


@dataclass(frozen=True, slots=True, eq=False)
class CutOut:
    """One object in its photograph."""

    path: Path
    mask: Alpha
    category: int  # -1: none, so that nothing is of its kind


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
            found.append(CutOut(path, _fitted(mask), entry["category_id"]))
    return found


def read_yolo_cut_outs(files: Sequence[Path], labels: Path) -> list[CutOut]:
    """The same from YOLO's segmentation text: one line `class x y x y ...`, 0..1, per object."""
    found = []
    for path in files:
        file = next(iter(labels.rglob(f"{path.stem}.txt")), None)
        if file is None:
            continue
        height, width = read_photograph(path).shape[:2]
        for line in file.read_text(encoding="utf-8").splitlines():
            category, *numbers = line.split()
            points = np.array(numbers, np.float64).reshape(-1, 2) * [width, height]
            mask = np.zeros((height, width), np.uint8)
            cv2.fillPoly(mask, [np.round(points).astype(np.int32)], 255)
            if _is_whole(mask):
                found.append(CutOut(path, mask, 1000 + int(category)))
    return found


def read_stamps(folder: Path) -> list[CutOut]:
    """Photographs with alpha below `folder`, such as tuxpaint-stamps; drawings are left out."""
    found = []
    for path in sorted(folder.rglob("*.png")):
        if path.stem.endswith(("_mirror", "_flip", "_mirror_flip")):
            continue
        picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if picture is None or picture.ndim != 3 or picture.shape[2] != 4:
            continue
        mask = np.where(_fitted(picture)[..., 3] >= 128, 255, 0).astype(np.uint8)
        colours = len(np.unique(picture[picture[..., 3] > 128][:, :3] >> 3, axis=0))
        if min(mask.shape) >= 80 and (mask > 0).mean() > 0.1 and colours >= MIN_COLOURS:
            found.append(CutOut(path, mask, -1))
    return found


def read_salient(files: Sequence[Path], classes: Sequence[int], backbone: Backbone) -> list[CutOut]:
    """What the backbone looks at in photographs of one known ImageNet class each.

    The class's activation map (Zhou et al. 2016), cut along the picture's edges: rough, but for
    tracking any part that moves as one will do.
    """
    weights = backbone.classifier_weight
    found = []
    for path, index in zip(files, classes, strict=True):
        picture = read_photograph(path)
        lift = (weights[index] - weights.mean(0))[:, None, None]
        heat = (backbone.features(picture).top * lift).sum(0).clamp(min=0)
        seed = (heat / heat.max().clamp(min=1e-6)).numpy()
        grown = cv2.resize(seed, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
        soft = np.clip((grown - WEAK_PEAK) / (1 - WEAK_PEAK) + 0.5, 0, 1)
        soft[grown < 0.1] = 0
        mask = np.where(refine_seed(picture, np.asarray(soft, np.float32)), 255, 0)
        if _is_whole(mask.astype(np.uint8)):
            found.append(CutOut(path, mask.astype(np.uint8), 2000 + index))
    return found


def blob(path: Path, rng: Rng) -> CutOut:
    """A smooth random patch of a photograph."""
    height, width = read_photograph(path).shape[:2]
    coarse = rng.random((6, 6)).astype(np.float32)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    hill = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    hill = hill + 1.2 * (1 - np.hypot(x * rng.uniform(1, 2.2), y * rng.uniform(1, 2.2)))
    mask = (hill > np.quantile(hill, rng.uniform(0.6, 0.85))).astype(np.uint8)
    marks, areas = components(mask)
    main = 1 + int(np.argmax(areas[1:]))
    return CutOut(path, np.where(marks == main, 255, 0).astype(np.uint8), -1)


def bars(path: Path, rng: Rng) -> CutOut:
    """Upright bars of a photograph's texture, as trunks and posts: something to pass behind."""
    height, width = read_photograph(path).shape[:2]
    mask = np.zeros((height, width), np.uint8)
    for _ in range(int(rng.integers(1, 5))):
        x, lean = rng.uniform(0.05, 0.95, 1)[0] * width, rng.uniform(-0.1, 0.1) * width
        ends = [(round(x - lean), 0), (round(x + lean), height)]
        cv2.line(mask, ends[0], ends[1], 255, int(width * rng.uniform(0.02, 0.08)))
    return CutOut(path, mask, -1)


@lru_cache(maxsize=128)
def read_photograph(path: Path) -> Image:
    """[h, w, 3] RGB, at most LONG_SIDE long; what is transparent is filled from beside it."""
    raw = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if raw is None:
        raise SourceError(f"expected a picture in {path}, got something that cannot be read")
    picture = _fitted(np.asarray(raw, np.uint8))
    if picture.ndim == 2:
        picture = np.asarray(cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR), np.uint8)
    colours = np.asarray(cv2.cvtColor(picture[..., :3], cv2.COLOR_BGR2RGB), np.uint8)
    if picture.shape[2] == 3:
        return colours
    solid = (picture[..., 3:] > 200).astype(np.float32)
    spread = cv2.blur(colours * solid, (31, 31))
    share = cv2.blur(solid, (31, 31))
    filled = spread / np.maximum(share.reshape(*share.shape[:2], 1), 1e-3)
    return np.where(solid > 0, colours, np.clip(filled, 0, 255)).astype(np.uint8)


def _fitted(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    scale = LONG_SIDE / max(picture.shape[:2])
    if scale >= 1:
        return picture
    size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _is_whole(mask: Alpha) -> bool:
    share = float((mask > 0).mean())
    borders = sum(bool(edge.any()) for edge in (mask[:3], mask[-3:], mask[:, :3], mask[:, -3:]))
    return MIN_SHARE <= share <= MAX_SHARE and borders <= 1
