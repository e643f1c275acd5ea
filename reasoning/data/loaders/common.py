"""What the readers of public formats share: polygons, run-length codes and JSON files."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from stream.errors import SourceError
from stream.frame import Mask
from stream.geometry import Rle, encode_mask


def read_json(path: Path) -> Any:
    """A JSON file; raises SourceError naming it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SourceError(f"expected a JSON file at {path}: {error}") from error


def read_json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSONL file; raises SourceError naming the line that is none."""
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    value = json.loads(line)
                    if not isinstance(value, dict):
                        raise ValueError(f"line {number} is no object")
                    yield value
    except (OSError, ValueError) as error:
        raise SourceError(f"expected a JSONL file at {path}: {error}") from error


def polygon_mask(
    polygons: Sequence[Sequence[float]], size: tuple[int, int], scale: bool = False
) -> Mask:
    """[x0, y0, x1, y1, …] outlines -> [H, W]; with `scale` in shares of the picture."""
    canvas = np.zeros(size, np.uint8)
    factor = np.array([size[1], size[0]] if scale else [1, 1], np.float64)
    for polygon in polygons:
        points = np.reshape(np.asarray(polygon, np.float64), (-1, 2)) * factor
        cv2.fillPoly(canvas, [np.round(points).astype(np.int32)], 1)
    return canvas > 0


def coco_mask(segmentation: Any, size: tuple[int, int]) -> Mask:
    """COCO's three forms: polygons, an uncompressed and a compressed run-length code."""
    if isinstance(segmentation, list):
        return polygon_mask(segmentation, size)
    counts = segmentation["counts"]
    runs = uncompressed(counts) if isinstance(counts, str) else list(counts)
    height, width = segmentation["size"]
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape((height, width), order="F")


def uncompressed(counts: str) -> list[int]:
    """COCO's compressed run-length string -> runs.

    Five bits a character from 48 on, low ones first, the sixth bit says that more follow; from the
    third run on each is the difference to the run two before (cocoapi, maskApi.c).
    """
    runs: list[int] = []
    position = 0
    while position < len(counts):
        value = shift = 0
        more = True
        while more:
            bits = ord(counts[position]) - 48
            value |= (bits & 0x1F) << shift
            more = bool(bits & 0x20)
            position += 1
            shift += 5
            if not more and bits & 0x10:
                value |= -1 << shift
        if len(runs) > 2:
            value += runs[-2]
        runs.append(value)
    return runs


def picture_size(path: Path) -> tuple[int, int]:
    """Height and width of a picture file; raises SourceError when it cannot be read."""
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise SourceError(f"expected a picture at {path}, found none that can be read")
    return int(image.shape[0]), int(image.shape[1])


def as_rle(mask: Mask) -> Rle:
    """[H, W] bool -> Rle."""
    return encode_mask(mask)


def field(value: Mapping[str, Any], name: str, where: Path) -> Any:
    """A field that must be there; raises SourceError naming the file."""
    if name not in value:
        known = ", ".join(list(value)[:8])
        raise SourceError(f"expected a field {name!r} in the entries of {where}, got {known}")
    return value[name]
