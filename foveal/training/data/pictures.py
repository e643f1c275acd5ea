"""Pictures with known masks and names to build training data of, and the entries about them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import skimage.data
from skimage.io import imread

from foveal.training.data.compositing import compose
from foveal.training.data.scenes import LabelledScene, NamedThing, PasteObject, by_name
from perception.detect.coco import EVERYDAY
from reasoning.data.annotator import AnnotatedPicture, NamedMask
from reasoning.data.loaders.coco import coco_pictures, yolo_pictures
from reasoning.data.loaders.common import picture_size
from retrieval.sources.entries import Entry
from stream.errors import SourceError
from stream.frame import Image
from stream.geometry import decode_mask, encode_mask

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

SETS = (  # what a data folder may hold: what is read of it
    "coco-mini/annotations/instances_train2017.json",
    "coco128-seg/images/train2017",
    "imagenet-samples",
)
UNNAMED = frozenset({"person", ""})  # nobody is told what a man or a woman is
# Photographs of ImageNet's that reported questions ask about: never trained on.
HELD_OUT = frozenset(
    {
        "koala", "cheetah", "platypus", "sax", "violin", "porcupine", "orangutan", "lemon", "fig",
        "llama", "coffeepot", "espresso_maker", "magnetic_compass", "mailbox", "steam_locomotive",
        "typewriter_keyboard", "vending_machine", "jackfruit",
    }
)  # fmt: skip


def coco_training(data: Path) -> Iterator[AnnotatedPicture]:
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


def missing_sets(data: Path) -> list[Path]:
    """Which of the sets that `data` may hold are not there; raises SourceError where none is."""
    missing = [data / place for place in SETS if not (data / place).exists()]
    if len(missing) == len(SETS):
        raise SourceError(f"expected one of {', '.join(SETS)} in {data}, found none")
    return missing


def imagenet_training(data: Path) -> Iterator[AnnotatedPicture]:
    """One photograph per ImageNet class, named as a whole; held-out ones are left out."""
    for path in sorted((data / "imagenet-samples").glob("n*_*.jpg")):
        words = path.stem.split("_", 1)[1]
        if words not in HELD_OUT:
            name = words.replace("_", " ").lower()
            yield AnnotatedPicture(str(path.resolve()), picture_size(path), (), name)


def package_photographs() -> Iterator[AnnotatedPicture]:
    """scikit-image's own photographs, nothing in them named: for questions of fact."""
    for name in PHOTOGRAPHS:
        image = load_picture(SKIMAGE + name)
        yield AnnotatedPicture(SKIMAGE + name, (image.shape[0], image.shape[1]), ())


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


def scene_of(picture: AnnotatedPicture) -> LabelledScene:
    """A picture with its masks, opened."""
    things = tuple(NamedThing(decode_mask(one.mask), (one.name,)) for one in picture.things)
    return LabelledScene(load_picture(picture.image), things, closed=False)


def written(scenes: Iterable[LabelledScene], folder: Path) -> Iterator[AnnotatedPicture]:
    """Scenes as JPEG files of a folder, with their masks."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, scene in enumerate(scenes):
        path = folder / f"{number:05d}.jpg"
        cv2.imwrite(str(path), scene.image[..., ::-1])
        size = (scene.image.shape[0], scene.image.shape[1])
        things = tuple(NamedMask(one.names[0], encode_mask(one.mask)) for one in scene.things)
        yield AnnotatedPicture(str(path.resolve()), size, things)


def composites(
    cuts: Sequence[PasteObject], grounds: Sequence[str], count: int, random: np.random.Generator
) -> Iterator[LabelledScene]:
    """Cut-outs pasted over photographs, of which nothing else is known."""
    table = by_name(cuts)
    for _ in range(count):
        ground = load_picture(grounds[int(random.integers(len(grounds)))])
        yield compose(LabelledScene(ground, (), closed=False), table, random)


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
