"""Backbone features and masks of training pictures, made once and read from disk.

A folder of fixed-shape arrays (memory-mapped) and a table: the training loop sees no picture again.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch

from foveal.training.data.pictures import HELD_OUT
from foveal.training.pixsearch.grounding_data import (
    SIZE,
    LabelledScene,
    NamedThing,
    PasteObject,
    Rng,
    by_name,
    compose,
    cut_outs,
    is_held_out,
    photographs,
    stamps,
    vary,
)
from foveal.training.pixsearch.wide_pictures import Labeller, compose_wide, frames_of
from perception.features.backbone import Backbone
from perception.masks.grabcut import refine_seed
from perception.scene.recogniser import Recogniser
from stream.errors import SourceError
from stream.frame import Image, Mask

MASK = (SIZE[0] // 4, SIZE[1] // 4)
WEAK_PEAK = 0.25  # of a class-activation map's peak, from which a weak mask's seed is likely
Halves = npt.NDArray[np.float16]
Bytes = npt.NDArray[np.uint8]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Sources:
    """Where training pictures lie; None leaves a source out."""

    coco: Path
    coco128: Path | None = None
    stamps: Path | None = None
    imagenet: Path | None = None
    clips: tuple[Path, ...] = ()  # unlabelled video, for backdrops
    without: frozenset[str] = frozenset()  # photographs that are left out, by their files' stems


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """How many pictures are made."""

    views: int = 3  # of every photograph
    composites: int = 500
    wide: int = 700  # pictures as glasses take them (ground_wide.py)
    frames: int = 24  # of each clip, as backdrops of those
    looks: int = 2  # at every frame that holds a pseudo-label
    weak: int = 250  # pictures of ImageNet with the class's activation as a mask
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """One named thing: which picture, which mask, and what it is called."""

    picture: int
    mask: int
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Store:
    """The arrays of a folder: N pictures with M masks."""

    dense: Halves  # [N, 168, 32, 44]
    top: Halves  # [N, 1280, 8, 11]
    small: Bytes  # [N, 64, 88, 3]
    masks: Bytes  # [M, 64, 88] 0..255
    rows: tuple[Row, ...]
    kinds: tuple[str, ...]  # of each picture: photograph, composite, wide, frame, weak
    watched: frozenset[int]  # pictures kept out of the steps, to follow the training


def make_store(
    folder: Path,
    sources: Sources,
    options: StoreOptions,
    recogniser: Recogniser,
    backbone: Backbone,
    progress: Progress | None = None,
    labeller: Labeller | None = None,
) -> Store:
    """Render pictures, run the backbone, write the folder; returns `read_store(folder)`.

    `labeller` names what is in the frames of clips.
    """
    folder.mkdir(parents=True, exist_ok=True)
    scenes = list(_scenes(sources, options, recogniser, backbone, labeller))
    count = len(scenes)
    dense = _array(folder / "dense.npy", (count, 168, SIZE[0] // 8, SIZE[1] // 8), np.float16)
    top = _array(folder / "top.npy", (count, 1280, SIZE[0] // 32, SIZE[1] // 32), np.float16)
    small = _array(folder / "small.npy", (count, *MASK, 3), np.uint8)
    masks: list[Bytes] = []
    table: list[dict[str, object]] = []
    for number, (kind, watched, scene) in enumerate(scenes):
        features = backbone.features(scene.image)
        dense[number] = features.dense.numpy()
        top[number] = features.top.numpy()
        small[number] = cv2.resize(scene.image, MASK[::-1], interpolation=cv2.INTER_AREA)
        things = [{"mask": len(masks) + n, "names": t.names} for n, t in enumerate(scene.things)]
        masks += [_shrink(thing.mask) for thing in scene.things]
        table.append({"kind": kind, "watched": watched, "things": things})
        if progress is not None:
            progress(number + 1, count)
    np.save(folder / "masks.npy", np.stack(masks))
    (folder / "table.json").write_text(json.dumps(table), encoding="utf-8")
    return read_store(folder)


def read_store(folder: Path) -> Store:
    """Open what `make_store` wrote; raises SourceError when it is not whole."""
    try:
        table = json.loads((folder / "table.json").read_text(encoding="utf-8"))
        arrays = [
            np.load(folder / f"{name}.npy", mmap_mode="r")
            for name in ("dense", "top", "small", "masks")
        ]
        rows = tuple(
            Row(number, thing["mask"], tuple(thing["names"]))
            for number, entry in enumerate(table)
            for thing in entry["things"]
        )
    except (OSError, ValueError, KeyError) as error:
        raise SourceError(
            f"expected a feature store in {folder}: {error!r}; make it again"
        ) from error
    kinds = tuple(entry["kind"] for entry in table)
    watched = frozenset(n for n, entry in enumerate(table) if entry["watched"])
    dense, top, small, masks = arrays
    return Store(dense, top, small, masks, rows, kinds, watched)


def _scenes(
    sources: Sources,
    options: StoreOptions,
    recogniser: Recogniser,
    backbone: Backbone,
    labeller: Labeller | None,
) -> Sequence[tuple[str, bool, LabelledScene]]:
    rng = np.random.default_rng(options.seed)
    photos = photographs(sources.coco, sources.coco128, without=sources.without)
    kept = [photo for number, photo in enumerate(photos) if number % 9]
    watched = [photo for number, photo in enumerate(photos) if not number % 9]
    found = [("photograph", True, vary(photo, rng)) for photo in watched for _ in range(2)]
    found += [("photograph", False, vary(p, rng)) for p in kept for _ in range(options.views)]
    weak = _weak(sources.imagenet, options.weak, rng, recogniser, backbone)
    found += [("weak", False, vary(scene, rng)) for scene in weak]
    cuts: list[PasteObject] = cut_outs(kept) + (stamps(sources.stamps) if sources.stamps else [])
    backdrops, kinds = kept + weak, by_name(cuts)
    for number in range(options.composites):
        backdrop = backdrops[int(rng.integers(len(backdrops)))]
        found.append(("composite", number % 20 == 0, compose(backdrop, kinds, rng)))
    rooms = frames_of(sources.clips, options.frames, labeller)
    named = [room for room in rooms if room.things]
    found += [("frame", False, vary(room, rng)) for room in named for _ in range(options.looks)]
    found += _wide(rooms + kept, kinds, options.wide, False, rng)
    # What is watched shares no photograph with what is learnt.
    unseen = by_name(cut_outs(watched))
    found += _wide(watched, unseen, options.wide // 20, True, rng)
    return [entry for entry in found if entry[2].things]


def _wide(
    backdrops: Sequence[LabelledScene],
    cuts: Mapping[str, Sequence[PasteObject]],
    count: int,
    watched: bool,
    rng: Rng,
) -> list[tuple[str, bool, LabelledScene]]:
    if not backdrops or not cuts:
        return []
    drawn = [backdrops[int(rng.integers(len(backdrops)))] for _ in range(count)]
    return [("wide", watched, compose_wide(backdrop, cuts, rng)) for backdrop in drawn]


def _weak(
    folder: Path | None, count: int, rng: Rng, recogniser: Recogniser, backbone: Backbone
) -> list[LabelledScene]:
    """ImageNet samples with the class's activation map, cut along edges, as a weak mask."""
    found: list[LabelledScene] = []
    paths = sorted(folder.glob("n*_*.jpg")) if folder is not None else []
    for index in sorted(rng.permutation(len(paths))[:count].tolist()):
        path = paths[index]
        image = cv2.imread(str(path))
        if image is None or _measured(path):
            continue
        picture = np.ascontiguousarray(image[..., ::-1])
        mask = _activation(picture, index, recogniser, backbone)
        if 0.03 <= mask.mean() <= 0.85:
            names = tuple(name.lower() for name in recogniser.class_synonyms[index])
            found.append(LabelledScene(picture, (NamedThing(mask, names),), closed=False))
    return found


def _measured(path: Path) -> bool:
    """Whether an ImageNet sample is a backdrop or a picture that some benchmark asks about."""
    return is_held_out(path.stem) or path.stem.split("_", 1)[1] in HELD_OUT


def _activation(picture: Image, index: int, recogniser: Recogniser, backbone: Backbone) -> Mask:
    weights = recogniser.class_weights
    top = backbone.features(picture).top
    heat = (top * (weights[index] - weights.mean(0))[:, None, None]).sum(0).clamp(min=0)
    seed = (heat / heat.max().clamp(min=1e-6)).numpy()
    grown = cv2.resize(seed, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    soft = np.clip((grown - WEAK_PEAK) / (1 - WEAK_PEAK) + 0.5, 0, 1)
    soft[grown < 0.1] = 0
    return refine_seed(picture, np.asarray(soft, np.float32))


def _shrink(mask: Mask) -> Bytes:
    full = mask.astype(np.uint8) * 255
    return np.asarray(cv2.resize(full, MASK[::-1], interpolation=cv2.INTER_AREA), np.uint8)


def _array(path: Path, shape: tuple[int, ...], dtype: type) -> npt.NDArray[np.generic]:
    return np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)


def here(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor made of an array, on the device that is trained on."""
    return tensor.to(torch.get_default_device())


def tensors(store: Store, pictures: Sequence[int]) -> tuple[torch.Tensor, ...]:
    """dense, top and image tensors of some pictures, as `MaskDecoder.read` takes them."""
    order = list(pictures)
    dense = here(torch.from_numpy(np.stack([store.dense[n] for n in order]))).float()
    top = here(torch.from_numpy(np.stack([store.top[n] for n in order]))).float()
    small = here(torch.from_numpy(np.stack([store.small[n] for n in order]))).float()
    return dense, top, small.permute(0, 3, 1, 2) / 127.5 - 1


def truths(store: Store, masks: Sequence[int]) -> torch.Tensor:
    """[N, 64, 88] 0..1."""
    return here(torch.from_numpy(np.stack([store.masks[n] for n in masks]))).float() / 255
