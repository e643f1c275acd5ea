"""Pictures with known masks and names to build training data of, and the entries about them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import skimage.data
from skimage.io import imread

from perception.scene.recogniser import EVERYDAY
from reasoning.data.annotator import NamedMask
from reasoning.data.loaders.coco import coco_pictures, yolo_pictures
from reasoning.data.loaders.common import picture_size
from reasoning.data.picture_questions import Picture
from retrieval.sources.entries import Entry
from stream.errors import SourceError
from stream.frame import Image, Mask
from stream.geometry import decode_mask, encode_mask, mask_box

# Categories whose article has another title.
TITLES = {
    "cow": "Cattle",
    "dining table": "Table (furniture)",
    "orange": "Orange (fruit)",
    "keyboard": "Computer keyboard",
    "remote": "Remote control",
    "cell phone": "Mobile phone",
    "sports ball": "Ball",
    "donut": "Doughnut",
    "baseball glove": "Glove",
    "tv": "Television",
    "mouse": "Computer mouse",
    "microwave": "Microwave oven",
    "teddy bear": "Stuffed toy",
}
SKIMAGE = "skimage:"  # records name scikit-image's photographs by it
PHOTOGRAPHS = ("astronaut", "brick", "camera", "coffee", "grass", "gravel", "rocket", "retina")
COMPOSITE = (360, 480)  # height, width
MIN_VISIBLE = 0.5  # of a pasted thing that may not be hidden by a later one

UNNAMED = frozenset({"person", ""})  # nobody is told what a man or a woman is
# Photographs that `python -m benchmarks.search_policy` asks about: never trained on.
HELD_OUT = frozenset(
    {
        "koala", "cheetah", "platypus", "sax", "violin", "porcupine", "orangutan", "lemon", "fig",
        "llama",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class NamedCutOut:
    """A named thing without its surroundings."""

    name: str
    image: Image  # [h, w, 3]
    mask: Mask  # [h, w]


def coco_training(data: Path) -> Iterator[Picture]:
    """coco-mini's train half and the first half of coco128 by file name."""
    names = [words[0] for words in EVERYDAY]
    annotations = data / "coco-mini" / "annotations" / "instances_train2017.json"
    if annotations.is_file():
        # EVERYDAY is in the order of COCO's categories, in plainer words.
        yield from coco_pictures(annotations, data / "coco-mini" / "train2017", names)
    folder = data / "coco128-seg"
    images, labels = folder / "images" / "train2017", folder / "labels" / "train2017"
    if images.is_dir():
        stems = sorted(path.stem for path in images.glob("*.jpg"))
        first = set(stems[: len(stems) // 2])
        for picture in yolo_pictures(images, labels, names):
            if Path(picture.image).stem in first:
                yield picture


def imagenet_training(data: Path) -> Iterator[Picture]:
    """One photograph per ImageNet class, named as a whole; held-out ones are left out."""
    for path in sorted((data / "imagenet-samples").glob("n*_*.jpg")):
        words = path.stem.split("_", 1)[1]
        if words not in HELD_OUT:
            name = words.replace("_", " ").lower()
            yield Picture(str(path.resolve()), picture_size(path), (), name)


def photographs() -> Iterator[Picture]:
    """scikit-image's own photographs, nothing in them named: for questions of fact."""
    for name in PHOTOGRAPHS:
        image = load_picture(SKIMAGE + name)
        yield Picture(SKIMAGE + name, (image.shape[0], image.shape[1]), ())


def load_picture(name: str, base: Path | None = None) -> Image:
    """[H, W, 3] of a record's `image`; relative files are found from `base`.

    Raises SourceError when there is none.
    """
    try:
        if name.startswith(SKIMAGE):
            pixels = np.asarray(getattr(skimage.data, name.removeprefix(SKIMAGE))())
        else:
            pixels = np.asarray(imread(str((base or Path()) / name)))
    except (OSError, AttributeError, ValueError) as error:
        raise SourceError(f"expected a picture at {name}: {error}") from error
    if pixels.ndim == 2:
        pixels = np.stack([pixels] * 3, axis=-1)
    return np.ascontiguousarray(pixels[..., :3], dtype=np.uint8)


def cut_outs_of(pictures: Iterable[Picture]) -> Iterator[NamedCutOut]:
    """The largest thing of each picture, where it does not touch the picture's edge much."""
    for picture in pictures:
        for thing in picture.things[:1]:
            mask = decode_mask(thing.mask)
            x0, y0, x1, y1 = mask_box(mask) or (0, 0, 0, 0)
            edge = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]]).sum()
            if min(x1 - x0, y1 - y0) >= 60 and edge < 0.05 * 2 * (x1 - x0 + y1 - y0):
                image = load_picture(picture.image)[y0:y1, x0:x1]
                yield NamedCutOut(thing.name, image, mask[y0:y1, x0:x1])


def cut_outs_in(folder: Path) -> Iterator[NamedCutOut]:
    """PNG files with transparency below a folder, named by their file names."""
    for path in sorted(folder.rglob("*.png")):
        pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if pixels is None or pixels.ndim != 3 or pixels.shape[2] != 4:
            continue
        mask = pixels[..., 3] > 127
        box = mask_box(mask)
        if box is not None and min(box[2] - box[0], box[3] - box[1]) >= 60:
            x0, y0, x1, y1 = box
            image = np.ascontiguousarray(pixels[y0:y1, x0:x1, 2::-1])
            name = path.stem.replace("_", " ").replace("-", " ").rstrip("0123456789 ").lower()
            yield NamedCutOut(name, image, mask[y0:y1, x0:x1])


def composites(
    cuts: Sequence[NamedCutOut],
    grounds: Sequence[str],
    count: int,
    folder: Path,
    random: np.random.Generator,
) -> Iterator[Picture]:
    """One to three cut-outs pasted on a photograph, written to `folder` as JPEG, masks exact."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        ground = load_picture(grounds[int(random.integers(len(grounds)))])
        canvas = np.asarray(cv2.resize(ground, COMPOSITE[::-1]), np.uint8).copy()
        things: list[tuple[str, Mask]] = []
        for place in random.permutation(len(cuts))[: 1 + int(random.integers(3))]:
            cut = cuts[int(place)]
            mask = _paste(canvas, cut, random)
            kept = [(name, old & ~mask) for name, old in things]
            hidden = any(
                new.sum() < MIN_VISIBLE * old.sum()
                for (_, old), (_, new) in zip(things, kept, strict=True)
            )
            if hidden:
                break  # what lies below can hardly be seen: the picture is not used
            things = [*kept, (cut.name, mask)]
        else:
            path = folder / f"{number:05d}.jpg"
            cv2.imwrite(str(path), canvas[..., ::-1])
            named = tuple(NamedMask(name, encode_mask(mask)) for name, mask in things)
            yield Picture(str(path.resolve()), COMPOSITE, named)


def entries_by_name(entries: Sequence[Entry], names: Iterable[str]) -> Mapping[str, Entry]:
    """The entry about each name that has one: by its own title, a synonym's or TITLES'."""
    by_title = {entry.title.lower(): entry for entry in entries}
    synonyms = {words[0]: words for words in EVERYDAY}
    found: dict[str, Entry] = {}
    for name in sorted(set(names) - UNNAMED):
        options = (TITLES.get(name, name), *synonyms.get(name, ()))
        entry = next((by_title[o.lower()] for o in options if o.lower() in by_title), None)
        if entry is not None:
            found[name] = entry
    return found


def _paste(canvas: Image, cut: NamedCutOut, random: np.random.Generator) -> Mask:
    """Draw a cut-out somewhere at some size, mirrored at times; returns its mask [H, W]."""
    height, width = canvas.shape[:2]
    longer = max(cut.mask.shape)
    scale = random.uniform(0.3, 0.65) * min(height, width) / longer
    size = (max(8, round(cut.mask.shape[1] * scale)), max(8, round(cut.mask.shape[0] * scale)))
    image = cv2.resize(cut.image, size, interpolation=cv2.INTER_AREA)
    mask = cv2.resize(cut.mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    if random.random() < 0.5:
        image, mask = image[:, ::-1], mask[:, ::-1]
    y, x = int(random.integers(height - size[1])), int(random.integers(width - size[0]))
    region = canvas[y : y + size[1], x : x + size[0]]
    region[mask] = image[mask]
    whole = np.zeros((height, width), bool)
    whole[y : y + size[1], x : x + size[0]] = mask
    return whole
