"""Pictures with named masks to learn from: photographs, and cut-outs of them and of stamps.

Training data rule: coco-mini's train half, the first half of coco128 by file name, photographic
cut-outs with names (Debian's tuxpaint-stamps) and imagenet-samples; every fifth cut-out by the
digest of its name and every fifth backdrop are held out for `benchmarks.grounding`.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from foveal.training.everyday.pictures import Labelled, read_coco, read_yolo
from perception.detect.coco import EVERYDAY
from reasoning.data.wordings import excluded
from stream.errors import SourceError
from stream.frame import Image, Mask
from stream.geometry import mask_box

SIZE = (256, 352)  # height, width of a training picture
SKIPPED = (
    "symbols",
    "cartoon",
    "flags",
    "silo",
    "chess",
    "faces",
    "roadsigns",
    "shapes",
    "maps",
    "dreydl",
)
NOISE = ("mirror", "photo", "very", "small", "big", "closed")  # in file names
MAX_WORDS = 3  # of a stamp's name
HELD_OUT = 5  # one in so many is kept for measuring
MIN_SHARE = 0.004  # of the picture that a thing must cover to be asked for

Rng = np.random.Generator


@dataclass(frozen=True, slots=True, eq=False)
class NamedThing:
    """One thing of a picture and what it may be called."""

    mask: Mask  # [H, W]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class LabelledScene:
    """A picture with its named things; things of one name are separate entries."""

    image: Image
    things: tuple[NamedThing, ...]
    closed: bool  # True when everything of the 80 everyday names is labelled


@dataclass(frozen=True, slots=True, eq=False)
class PasteObject:
    """A thing without its surroundings."""

    image: Image  # [h, w, 3]
    alpha: npt.NDArray[np.uint8]  # [h, w] 0..255
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sources:
    """Where training pictures lie; None leaves a source out."""

    coco: Path
    coco128: Path | None = None
    stamps: Path | None = None
    without: frozenset[str] = frozenset()  # photographs that are left out, by their files' stems


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """The same in a file of settings: below the folder of `--data`; empty leaves one out."""

    coco: str = "coco-mini"
    coco128: str = "coco128-seg"
    stamps: str = ""  # tuxpaint-stamps; a path of its own
    without: tuple[str, ...] = ()  # benchmarks' YAML files whose pictures are left out

    def below(self, data: Path) -> Sources:
        """The paths of a data folder."""
        return Sources(
            data / self.coco,
            data / self.coco128 if self.coco128 else None,
            Path(self.stamps) if self.stamps else None,
            excluded([Path(path) for path in self.without])[1],
        )


def is_held_out(name: str) -> bool:
    """Whether a cut-out or backdrop of this name is kept for measuring."""
    return hashlib.sha256(name.encode()).digest()[0] % HELD_OUT == 0


def photographs(
    coco: Path,
    coco128: Path | None,
    held_out: bool = False,
    without: frozenset[str] = frozenset(),
) -> list[LabelledScene]:
    """coco-mini's train half and coco128's first half; or coco128's second half.

    `without` names files, without their ending, that are left out besides.

    Both are parts of COCO: a photograph of the one that the other keeps for measuring is left out.
    """
    pictures: list[Labelled] = []
    halves = coco128_halves(coco128) if coco128 is not None else ((), ())
    if not held_out:
        kept = frozenset(halves[1]) | measured(coco) | without
        table = coco / "annotations" / "instances_train2017.json"
        pictures = read_coco(table, coco / "train2017", skip=kept)
        halves = (tuple(stem for stem in halves[0] if stem not in kept), halves[1])
    if coco128 is not None:
        pictures += read_yolo(coco128, halves[1] if held_out else halves[0])
    return [
        LabelledScene(
            picture.image,
            tuple(
                NamedThing(t.mask, EVERYDAY[t.label - 1]) for t in picture.things if t.mask.any()
            ),
            closed=True,
        )
        for picture in pictures
    ]


def coco128_halves(folder: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the pictures to learn from, and of those that are only measured on."""
    stems = sorted(path.stem for path in (folder / "images" / "train2017").glob("*.jpg"))
    half = len(stems) // 2
    return tuple(stems[:half]), tuple(stems[half:])


def measured(coco: Path) -> frozenset[str]:
    """Names of coco-mini's validation photographs."""
    return frozenset(path.stem for path in (coco / "val2017").glob("*.jpg"))


def stamps(folder: Path, held_out: bool = False, limit: int = 220) -> list[PasteObject]:
    """Photographic cut-outs with names from a tuxpaint-stamps folder; raises SourceError."""
    found = []
    for path in sorted(folder.rglob("*.png")):
        relative = str(path.relative_to(folder))
        name = _stamp_name(path)
        if any(word in relative for word in SKIPPED) or not name:
            continue
        if is_held_out(name) != held_out:
            continue
        pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if pixels is None or pixels.ndim != 3 or pixels.shape[2] != 4:
            continue
        found.append(_cut_out(pixels, (name,), limit))
    if not found:
        raise SourceError(f"expected PNG stamps with names below {folder}, found none")
    return found


def cut_outs(scenes: Sequence[LabelledScene], limit: int = 220) -> list[PasteObject]:
    """The larger things of photographs, cut out along their masks."""
    found = []
    for scene in scenes:
        for thing in scene.things:
            box = mask_box(thing.mask)
            if (
                box is None
                or thing.mask.mean() < 0.02
                or min(box[2] - box[0], box[3] - box[1]) < 48
            ):
                continue
            alpha = thing.mask[..., None].astype(np.uint8) * 255
            found.append(_cut_out(np.dstack([scene.image[..., ::-1], alpha]), thing.names, limit))
    return found


def by_name(cuts: Sequence[PasteObject]) -> dict[str, list[PasteObject]]:
    """Cut-outs under their first name."""
    found: dict[str, list[PasteObject]] = {}
    for cut in cuts:
        found.setdefault(cut.names[0], []).append(cut)
    return found


def _cut_out(pixels: npt.NDArray[np.uint8], names: tuple[str, ...], limit: int) -> PasteObject:
    box = mask_box(pixels[..., 3] > 127) or (0, 0, pixels.shape[1], pixels.shape[0])
    part = pixels[box[1] : box[3], box[0] : box[2]]
    factor = min(1.0, limit / max(part.shape[:2]))
    size = (max(1, round(part.shape[1] * factor)), max(1, round(part.shape[0] * factor)))
    small = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)
    colours = np.ascontiguousarray(small[..., 2::-1])
    return PasteObject(colours, np.ascontiguousarray(small[..., 3]), names)


def _stamp_name(path: Path) -> str:
    """The first line of the text beside a stamp when it is a short name, else the file's name."""
    text = path.with_suffix(".txt")
    line = ""
    if text.is_file():
        line = text.read_text(encoding="utf-8", errors="replace").splitlines()[0].strip()
    words = line.rstrip(".!").split()
    if words and words[0].lower() in ("a", "an", "the", "some"):
        words = words[1:]
    if not 0 < len(words) <= MAX_WORDS or not "".join(words).isascii():
        words = path.stem.replace("-", "_").split("_")
        words = [word for word in words if word.isalpha() and word not in NOISE][:MAX_WORDS]
    return " ".join(words).lower().replace(",", "")
