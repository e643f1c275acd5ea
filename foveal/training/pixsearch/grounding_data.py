"""Pictures with named masks for the segmenting model: photographs, stamps, and composites of both.

Training data rule: coco-mini's train half, the first half of coco128 by file name, photographic
cut-outs with names (Debian's tuxpaint-stamps) and imagenet-samples; every fifth cut-out by the
digest of its name and every fifth backdrop are held out for `benchmarks.grounding`.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from foveal.training.everyday.pictures import Labelled, read_coco, read_yolo
from perception.scene.recogniser import EVERYDAY
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


def compose(
    backdrop: LabelledScene, cuts: Mapping[str, Sequence[PasteObject]], rng: Rng
) -> LabelledScene:
    """One to four cut-outs over a backdrop, later ones in front; masks are what stays visible.

    The backdrop's own things keep their names. `cuts` is by name: a name is drawn first, so that
    the many persons do not crowd out the rest.
    """
    base = vary(backdrop, rng)
    canvas = base.image.astype(np.float64)
    layers = [(thing.mask, thing.names) for thing in base.things]
    kinds = list(cuts)
    for _ in range(int(rng.integers(1, 5))):
        pool = cuts[kinds[int(rng.integers(len(kinds)))]]
        cut = pool[int(rng.integers(len(pool)))]
        paint, alpha = place(cut, rng)
        canvas = canvas * (1 - alpha[..., None]) + paint * alpha[..., None]
        layers = [(mask & (alpha < 0.5), names) for mask, names in layers]
        layers.append((alpha >= 0.5, cut.names))
    things = tuple(NamedThing(mask, names) for mask, names in layers if mask.mean() >= MIN_SHARE)
    return LabelledScene(develop(canvas, rng), things, closed=False)


def by_name(cuts: Sequence[PasteObject]) -> dict[str, list[PasteObject]]:
    """Cut-outs under their first name."""
    found: dict[str, list[PasteObject]] = {}
    for cut in cuts:
        found.setdefault(cut.names[0], []).append(cut)
    return found


def vary(scene: LabelledScene, rng: Rng) -> LabelledScene:
    """A crop of a photograph at the training size: mirrored, relit."""
    height, width = scene.image.shape[:2]
    share = float(rng.uniform(0.55, 1.0))
    rows, cols = int(height * share), int(width * min(1.0, share * rng.uniform(0.9, 1.1)))
    top, left = int(rng.integers(0, height - rows + 1)), int(rng.integers(0, width - cols + 1))
    flip = -1 if rng.random() < 0.5 else 1

    def cut(plane: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        part = np.ascontiguousarray(plane[top : top + rows, left : left + cols][:, ::flip])
        return np.asarray(cv2.resize(part, (SIZE[1], SIZE[0]), interpolation=cv2.INTER_AREA))

    things = tuple(
        NamedThing(mask, thing.names)
        for thing in scene.things
        if (mask := cut(thing.mask.astype(np.uint8) * 255) >= 128).mean() >= MIN_SHARE / 2
    )
    return LabelledScene(develop(cut(scene.image).astype(float), rng), things, scene.closed)


def place(
    cut: PasteObject,
    rng: Rng,
    frame: tuple[int, int] = SIZE,
    scales: tuple[float, float] = (0.2, 0.75),
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """A cut-out somewhere in a frame: colours [H, W, 3] and opacity [H, W].

    `scales` are the least and largest longer side as shares of the frame's height.
    """
    rows, cols = cut.alpha.shape
    scale = float(rng.uniform(*scales)) * frame[0] / max(rows, cols)
    angle = float(rng.normal(0, 14))
    turn = cv2.getRotationMatrix2D((cols / 2, rows / 2), angle, scale)
    turn[:, 2] += [
        rng.uniform(0.1, 0.9) * frame[1] - cols / 2,
        rng.uniform(0.15, 0.85) * frame[0] - rows / 2,
    ]
    size = (frame[1], frame[0])
    paint, alpha = cut.image, cut.alpha
    if rng.random() < 0.5:
        paint, alpha = np.ascontiguousarray(paint[:, ::-1]), np.ascontiguousarray(alpha[:, ::-1])
    colours = cv2.warpAffine(paint, turn, size, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT)
    soft = cv2.warpAffine(alpha, turn, size, flags=cv2.INTER_AREA).astype(np.float32) / 255
    soft = cv2.GaussianBlur(soft, (3, 3), 0)
    gain = float(np.exp(rng.normal(0, 0.15)))
    return np.asarray(colours * gain, np.float32), np.asarray(soft, np.float32)


def develop(
    canvas: npt.NDArray[np.float64], rng: Rng, gamma: tuple[float, float] = (0.7, 1.5)
) -> Image:
    """Light, grain and blur as a head camera has them."""
    out = 255 * (np.clip(canvas, 0, 255) / 255) ** float(rng.uniform(*gamma))
    if rng.random() < 0.3:
        out = cv2.GaussianBlur(out, (0, 0), float(rng.uniform(0.5, 1.4)))
    out = out + rng.normal(0, float(rng.uniform(0, 4)), out.shape)
    return np.clip(out, 0, 255).astype(np.uint8)


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
