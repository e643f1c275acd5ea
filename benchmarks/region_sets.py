"""Regions with known masks and names: photographs, composites, frames of real glasses; and DAVIS.

None of the pictures was trained on: coco-mini's val half, coco128's second half, cut-outs of the
latter over held-out backdrops, Aria Digital Twin, DAVIS.
"""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from benchmarks.aria_adt import read_adt
from benchmarks.grounding import composites
from foveal.training.data.scenes import LabelledScene, photographs
from foveal.training.everyday.pictures import read_coco
from perception.detect.coco import EVERYDAY
from stream.frame import Image, Mask
from stream.geometry import Box, Point, inner_point, mask_box

MIN_SHARE = 0.01  # of the picture's pixels
GLASSES_SHARES = (0.001, 0.25)
PER_PICTURE = 6  # regions asked for
FRAMES, COMPOSITES = 8, 60


@dataclass(frozen=True, slots=True, eq=False)
class AskedRegion:
    """One region of a picture with its name."""

    group: str  # the set
    picture: str  # regions of one picture have the same
    image: Image
    mask: Mask
    name: str

    @property
    def prompts(self) -> tuple[Box, Point]:
        """What a detector, or a wearer who points, would say of it."""
        return mask_box(self.mask) or (0, 0, 1, 1), inner_point(self.mask)


def regions(data: Path, limit: int | None = None) -> Iterator[AskedRegion]:
    """All sets that are there; `limit` pictures of each."""
    coco, coco128 = data / "coco-mini", data / "coco128-seg"
    held_out = photographs(coco, coco128, held_out=True) if coco128.is_dir() else []
    table = coco / "annotations" / "instances_val2017.json"
    if table.is_file():
        for number, row in enumerate(read_coco(table, coco / "val2017")[:limit]):
            named = [(EVERYDAY[thing.label - 1][0], thing.mask) for thing in row.things]
            yield from _asked("photographs", f"coco {number}", row.image, named)
    yield from _scenes("photographs", held_out[:limit])
    if (data / "imagenet-samples").is_dir():
        made = composites(held_out, data, None, min(limit or COMPOSITES, COMPOSITES))
        yield from _scenes("composites", list(made))
    aria = data / "aria" / "aria_adt"
    if aria.is_dir():
        frames = read_adt(aria, GLASSES_SHARES[0], min(limit or FRAMES, FRAMES))
        for number, frame in enumerate(frames):
            seen = [
                (thing.category, thing.mask)
                for thing in frame.instances
                if thing.mask.mean() <= GLASSES_SHARES[1]
            ]
            yield from _asked("glasses", f"frame {number}", frame.image, seen, 0.0)


def vocabulary(data: Path) -> dict[str, list[str]]:
    """The names that each set's regions are told from, in view or not."""
    everyday = [names[0] for names in EVERYDAY]
    found = {"photographs": everyday, "composites": everyday}
    table = data / "aria" / "aria_adt" / "instances.json"
    if table.is_file():
        told = json.loads(table.read_text(encoding="utf-8"))
        found["glasses"] = sorted({str(entry["category"]) for entry in told.values()})
    return found


def instances(data: Path, step: int = 8) -> Iterator[tuple[str, float, Image, Mask]]:
    """DAVIS: name of the object, how far through the clip, picture and mask, `step` a clip."""
    root = data / "davis"
    for folder in sorted((root / "JPEGImages" / "480p").iterdir()):
        files = sorted(folder.glob("*.jpg"))
        for number in np.linspace(0, len(files) - 1, step).astype(int):
            drawn = root / "Annotations" / "480p" / folder.name / f"{files[number].stem}.png"
            mask = np.asarray(cv2.imread(str(drawn), cv2.IMREAD_GRAYSCALE)) > 0
            if mask.any():
                pixels = np.asarray(cv2.imread(str(files[number])), np.uint8)
                image = np.ascontiguousarray(pixels[..., ::-1])
                yield folder.name, number / (len(files) - 1), image, mask


def hue_histogram(image: Image, mask: Mask) -> np.ndarray:
    """[128] shares of 16 hues and 8 saturations under a mask."""
    hsv = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2HSV)
    counts = cv2.calcHist([hsv], [0, 1], mask.astype(np.uint8), [16, 8], [0, 180, 0, 256])
    return np.asarray(counts.ravel() / max(float(counts.sum()), 1.0), np.float32)


def _scenes(group: str, scenes: Sequence[LabelledScene]) -> Iterator[AskedRegion]:
    for number, scene in enumerate(scenes):
        named = [(thing.names[0], thing.mask) for thing in scene.things]
        yield from _asked(group, f"{group} {number}", scene.image, named)


def _asked(
    group: str,
    picture: str,
    image: Image,
    named: Sequence[tuple[str, Mask]],
    least: float = MIN_SHARE,
) -> Iterator[AskedRegion]:
    large = [pair for pair in named if pair[1].mean() >= least and pair[1].any()]
    for name, mask in random.Random(picture).sample(large, min(PER_PICTURE, len(large))):
        yield AskedRegion(group, picture, image, mask, name)
