"""Pictures and masks to train and measure the everyday head: COCO JSON and YOLO-seg folders."""

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from perception.detect.coco import EVERYDAY
from stream.crops import GREY
from stream.errors import SourceError
from stream.frame import Image, Mask
from stream.geometry import mask_box

MIN_SIDE = 20  # pixels: a smaller thing shows too little
# First and last ImageNet class, and the everyday name they are kinds of.
SPECIES = (
    (7, 24, 15),
    (80, 100, 15),
    (127, 146, 15),
    (151, 268, 17),
    (281, 285, 16),
    (294, 297, 22),
    (348, 349, 19),
    (385, 386, 21),
)
BACKGROUND = 0  # label of places without a thing; the names follow from 1


@dataclass(frozen=True, slots=True, eq=False)
class LabelledMask:
    """One labelled thing of a picture."""

    mask: Mask  # [H, W]
    label: int  # 1..80


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """A picture with its things."""

    image: Image
    things: tuple[LabelledMask, ...]


def read_coco(
    annotations: Path, images: Path, skip: Collection[str] = frozenset()
) -> list[Labelled]:
    """COCO instances with polygons; crowds are left out. Raises SourceError.

    `skip` names files, without their ending, that are not read.
    """
    try:
        table = json.loads(annotations.read_text(encoding="utf-8"))
        numbers = {c["id"]: n for n, c in enumerate(sorted(table["categories"], key=_by_id), 1)}
        of_image: dict[int, list[tuple[list[list[float]], int]]] = {}
        for item in table["annotations"]:
            if not item.get("iscrowd") and isinstance(item["segmentation"], list):
                pair = (item["segmentation"], numbers[item["category_id"]])
                of_image.setdefault(item["image_id"], []).append(pair)
        rows = [
            (images / row["file_name"], of_image.get(row["id"], []))
            for row in table["images"]
            if Path(row["file_name"]).stem not in skip
        ]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise SourceError(f"expected COCO instances in {annotations}: {error!r}") from error
    return [_labelled(path, polygons, scale=False) for path, polygons in rows]


def read_yolo(folder: Path, names: Sequence[str]) -> list[Labelled]:
    """YOLO-seg text: `class x y x y …` in shares of the picture, one thing a line."""
    rows = []
    for name in names:
        path = folder / "labels" / "train2017" / f"{name}.txt"
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        polygons = []
        for line in lines:
            values = [float(value) for value in line.split()]
            if values:
                polygons.append(([values[1:]], int(values[0]) + 1))
        rows.append((folder / "images" / "train2017" / f"{name}.jpg", polygons))
    return [_labelled(path, polygons, scale=True) for path, polygons in rows]


def read_imagenet(folder: Path) -> list[Labelled]:
    """One photograph per ImageNet class (`wnid_name.jpg`), where the class is an everyday thing."""
    by_word = {word: n for n, names in enumerate(EVERYDAY, 1) for word in names}
    found = []
    for index, path in enumerate(sorted(folder.glob("n*_*.jpg"))):
        words = path.stem.split("_", 1)[1].lower().replace("_", " ")
        label = by_word.get(words) or by_word.get(words.split()[-1]) or _species(index)
        if label is not None:
            picture = _labelled(path, [], scale=False)
            whole = LabelledMask(np.ones(picture.image.shape[:2], bool), label)
            found.append(Labelled(picture.image, (whole,)))
    return found


def _species(index: int) -> int | None:
    """Breeds and kinds go by the order of ImageNet's classes."""
    return next((label for first, last, label in SPECIES if first <= index <= last), None)


def crops(
    picture: Labelled, draws: int, random: np.random.Generator
) -> Iterator[tuple[Image, int]]:
    """Augmented views: each thing blanked and as it is, and places without a thing."""
    taken = np.zeros(picture.image.shape[:2], bool)
    for thing in picture.things:
        taken |= thing.mask
        box = mask_box(thing.mask)
        if box is None or min(box[2] - box[0], box[3] - box[1]) < MIN_SIDE:
            continue
        for _ in range(draws):
            rows, cols = _square(box, picture.image.shape[:2], random)
            plain, inside = picture.image[rows, cols], thing.mask[rows, cols, None]
            blanked = np.where(inside, plain, np.uint8(GREY)).astype(np.uint8)
            yield _disturb(plain, random), thing.label
            yield _disturb(blanked, random), thing.label
    for _ in range(3 * draws):
        height, width = picture.image.shape[:2]
        side = int(random.uniform(0.15, 0.6) * min(height, width))
        y, x = int(random.integers(0, height - side)), int(random.integers(0, width - side))
        if taken[y : y + side, x : x + side].mean() < 0.05:
            yield _disturb(picture.image[y : y + side, x : x + side], random), BACKGROUND


def _labelled(
    path: Path, polygons: Sequence[tuple[list[list[float]], int]], scale: bool
) -> Labelled:
    image = cv2.imread(str(path))
    if image is None:
        raise SourceError(f"expected a picture at {path}, found none that can be read")
    height, width = image.shape[:2]
    factor = np.array([width, height] if scale else [1, 1], np.float64)
    things = []
    for parts, label in polygons:
        canvas = np.zeros((height, width), np.uint8)
        shapes = [np.round(np.reshape(part, (-1, 2)) * factor).astype(np.int32) for part in parts]
        cv2.fillPoly(canvas, shapes, 1)
        things.append(LabelledMask(canvas > 0, label))
    return Labelled(np.ascontiguousarray(image[..., ::-1]), tuple(things))


def _square(
    box: tuple[int, int, int, int], size: tuple[int, ...], random: np.random.Generator
) -> tuple[slice, slice]:
    longer = max(box[2] - box[0], box[3] - box[1])
    half = longer * (0.5 + random.uniform(-0.03, 0.35))
    x = (box[0] + box[2]) / 2 + random.normal(0, 0.06) * longer
    y = (box[1] + box[3]) / 2 + random.normal(0, 0.06) * longer
    top, left = int(np.clip(y - half, 0, size[0] - 2)), int(np.clip(x - half, 0, size[1] - 2))
    bottom = int(np.clip(y + half, top + 2, size[0]))
    return slice(top, bottom), slice(left, int(np.clip(x + half, left + 2, size[1])))


def _disturb(image: Image, random: np.random.Generator) -> Image:
    """Mirror, light, blur and coarseness, as a head camera has them."""
    out: npt.NDArray[np.uint8] = image[:, ::-1] if random.random() < 0.5 else image
    if random.random() < 0.6:
        curve = 255 * (np.arange(256) / 255) ** random.uniform(0.6, 1.8)
        out = curve.astype(np.uint8)[out]
    if random.random() < 0.3:
        side = int(random.uniform(24, 80))
        out = np.asarray(cv2.resize(out, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
    if random.random() < 0.3:
        out = np.asarray(cv2.GaussianBlur(out, (0, 0), random.uniform(0.8, 2.5)), np.uint8)
    return np.ascontiguousarray(out)


def _by_id(category: dict[str, int]) -> int:
    return category["id"]
