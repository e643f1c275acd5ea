"""Aria Digital Twin: frames of real glasses with the mask and category of every instance in view.

A folder holds video.vrs (RGB, stream 214-1), segmentations.vrs (stream 400-1: one instance id per
pixel, 64 bits that the bindings hand out as float64) and instances.json (id -> category).
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stream.frame import Image, Mask
from stream.sources.vrs import CLOCKWISE_QUARTER, VrsReader

SAME_S = 0.002  # a picture and its segmentation carry times this close
RGB_MASKS = "400-1"


@dataclass(frozen=True, slots=True, eq=False)
class Instance:
    """One thing of the scene as a frame shows it."""

    category: str
    mask: Mask  # [H, W], upright like the picture


@dataclass(frozen=True, slots=True, eq=False)
class AdtFrame:
    """One picture and what is in it."""

    image: Image
    instances: tuple[Instance, ...]


def read_adt(folder: Path, min_share: float = 0.0, count: int | None = None) -> Iterator[AdtFrame]:
    """Frames that have a segmentation; instances below `min_share` of the picture are left out.

    With `count`, about so many of them, spread over all.

    Raises SourceError for an unreadable recording and OSError for a missing instances.json.
    """
    table = json.loads((folder / "instances.json").read_text(encoding="utf-8"))
    names = {int(key): str(entry["category"]) for key, entry in table.items()}
    first_ns, masks = _masks(folder / "segmentations.vrs")
    every = 1 if count is None else max(1, len(masks) // count)
    video = VrsReader(folder / "video.vrs")
    for number, frame in enumerate(video.read(0)):
        if number >= len(masks):
            return
        if number % every:
            continue
        # Segmentations cover the recording's first frames, one each; the clocks differ by a hair.
        if abs(frame.pts_ns / 1e9 - (masks[number][0] - first_ns)) <= SAME_S:
            yield AdtFrame(frame.image, tuple(_instances(masks[number][1], names, min_share)))


def _masks(path: Path) -> tuple[float, list[tuple[float, np.ndarray[Any, np.dtype[np.uint64]]]]]:
    import pyvrs

    reader = pyvrs.SyncVRSReader(str(path))
    records = reader.filtered_by_fields(stream_ids={RGB_MASKS}, record_types={"data"})
    found = []
    for record in records:
        raw = np.ascontiguousarray(record.image_blocks[0]).view(np.uint64)
        found.append((float(record.timestamp), np.rot90(raw, CLOCKWISE_QUARTER)))
    return (found[0][0] if found else 0.0), found


def _instances(
    ids: np.ndarray[Any, np.dtype[np.uint64]], names: dict[int, str], min_share: float
) -> Iterator[Instance]:
    for value, count in zip(*np.unique(ids, return_counts=True), strict=True):
        if int(value) in names and count >= min_share * ids.size:
            yield Instance(names[int(value)], np.ascontiguousarray(ids == value))
