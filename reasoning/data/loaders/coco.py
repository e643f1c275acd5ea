"""COCO instances (JSON) and YOLO segmentation text: pictures with named masks."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from reasoning.data.annotator import AnnotatedPicture, NamedMask
from reasoning.data.loaders.common import (
    as_rle,
    coco_mask,
    field,
    picture_size,
    polygon_mask,
    read_json,
)
from stream.errors import SourceError

MIN_SHARE = 0.01  # of the picture: smaller things show too little
MAX_THINGS = 8  # of a picture, the largest ones


def coco_pictures(
    annotations: Path, images: Path, renamed: Sequence[str] = ()
) -> Iterator[AnnotatedPicture]:
    """Pictures of an instances file; crowds are left out.

    `renamed`: other names of the categories, in the order of their ids.
    """
    table = read_json(annotations)
    categories = sorted(field(table, "categories", annotations), key=lambda c: int(c["id"]))
    names = {c["id"]: str(c["name"]) for c in categories}
    names.update(zip(list(names), renamed, strict=False))
    of_image: dict[int, list[dict[str, Any]]] = {}
    for item in field(table, "annotations", annotations):
        if not item.get("iscrowd"):
            of_image.setdefault(item["image_id"], []).append(item)
    for info in field(table, "images", annotations):
        size = (int(info["height"]), int(info["width"]))
        masks = [
            NamedMask(names[item["category_id"]], as_rle(coco_mask(item["segmentation"], size)))
            for item in of_image.get(info["id"], [])
        ]
        yield AnnotatedPicture(
            str((images / info["file_name"]).resolve()), size, largest(masks, size)
        )


def yolo_pictures(images: Path, labels: Path, names: Sequence[str]) -> Iterator[AnnotatedPicture]:
    """`class x y x y …` in shares of the picture, one thing a line, one file a picture."""
    for file in sorted(labels.glob("*.txt")):
        path = images / f"{file.stem}.jpg"
        if not path.is_file():
            continue  # the folder may hold a part of the set
        size = picture_size(path)
        masks = []
        for line in file.read_text(encoding="utf-8").splitlines():
            try:
                label, *numbers = (float(word) for word in line.split())
                mask = polygon_mask([numbers], size, scale=True)
                masks.append(NamedMask(names[int(label)], as_rle(mask)))
            except (ValueError, IndexError) as error:
                raise SourceError(f"expected `class x y …` in {file}, got {line[:60]!r}") from error
        yield AnnotatedPicture(str(path.resolve()), size, largest(masks, size))


def largest(masks: Sequence[NamedMask], size: tuple[int, int]) -> tuple[NamedMask, ...]:
    """The things that are large enough, the largest ones first."""
    shown = [one for one in masks if one.mask.area >= MIN_SHARE * size[0] * size[1]]
    return tuple(sorted(shown, key=lambda one: -one.mask.area)[:MAX_THINGS])
