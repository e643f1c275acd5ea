"""Masks from a box or a point: the small SAM beside training-free cutting and the box itself.

    python -m benchmarks.masks [--json] [--quick] [--data DIR]

Three sets, none of them trained or tuned on: `coco` (coco-mini's validation half), `coco128` (the
second half by file name) and `davis` (first frames). Asked is every thing of at least 1 % of its
picture that is no crowd, at most five a picture: once by its true box, once by the point inside it
that is farthest from its border. `giou_box` and `giou_point` are mean intersections over union.
`foveal` is the small SAM (`foveal models pull small-sam`), `grabcut` what is used without it, `box`
the box itself. `look_ms` is one pass of the encoder over a picture, `ask_ms` one prompt after it.
"""

import argparse
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from skimage.io import imread

from benchmarks.report import emit
from foveal.setup.cutters import load_small_sam
from foveal.setup.retrieval.search import load_backbone
from foveal.training.data.scenes import photographs
from foveal.training.everyday.pictures import Labelled, read_coco
from perception.features.backbone import Backbone
from perception.masks.grabcut import mask_from_box, mask_from_point
from perception.masks.small_sam import SmallSam
from stream.frame import Image, Mask
from stream.geometry import Box, Point, inner_point, mask_box, mask_iou

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
MIN_SHARE = 0.01  # of the picture's pixels
PER_PICTURE = 5
QUICK = 10  # pictures of each set

Scores = dict[str, dict[str, list[float]]]  # method -> metric -> values


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A picture and the masks that are asked for."""

    group: str
    image: Image
    truths: tuple[Mask, ...]


def main() -> int:
    """Run and print; exit code 0 whether or not the goal is met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="kept for symmetry: always printed")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} pictures of each set")
    parser.add_argument("--data", type=Path, default=DATA, help="coco-mini, coco128-seg and davis")
    args = parser.parse_args()
    backbone, sam = load_backbone(), load_small_sam()
    scores: Scores = {"foveal": {}, "grabcut": {}, "box": {}}
    for asked in pictures(args.data, QUICK if args.quick else None):
        measure(scores, asked, backbone, sam)
    results = {name: _figures(metrics) for name, metrics in scores.items()}
    ours, peer = results["foveal"], results["grabcut"]
    met = all(ours[metric] > peer[metric] for metric in ("giou_box", "giou_point"))
    note = f"{torch.get_num_threads()} threads; giou_box and giou_point are means of the sets"
    emit("masks", results, {"giou_box": "> grabcut", "giou_point": "> grabcut"}, met, note)
    return 0


def pictures(data: Path, limit: int | None) -> Iterator[Asked]:
    """The three sets; those that are absent are left out."""
    coco = data / "coco-mini"
    if coco.is_dir():
        table = coco / "annotations" / "instances_val2017.json"
        yield from _labelled("coco", read_coco(table, coco / "val2017"), limit)
    if (data / "coco128-seg").is_dir():
        scenes = photographs(coco, data / "coco128-seg", held_out=True)[:limit]
        for scene in scenes:
            yield from _asked("coco128", scene.image, [thing.mask for thing in scene.things])
    root = data / "davis" / "JPEGImages" / "480p"
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        first = min(folder.glob("*.jpg"))
        path = data / "davis" / "Annotations" / "480p" / folder.name / f"{first.stem}.png"
        image, drawn = np.asarray(imread(first), np.uint8), np.atleast_3d(imread(path))
        yield from _asked("davis", image, [np.asarray(drawn.max(-1) > 0)])


def _labelled(group: str, rows: list[Labelled], limit: int | None) -> Iterator[Asked]:
    for row in rows[:limit]:
        yield from _asked(group, row.image, [thing.mask for thing in row.things])


def _asked(group: str, image: Image, masks: list[Mask]) -> Iterator[Asked]:
    large = [mask for mask in masks if mask.mean() >= MIN_SHARE]
    chosen = random.Random(0).sample(large, min(PER_PICTURE, len(large)))
    if chosen:
        yield Asked(group, image, tuple(chosen))


def measure(scores: Scores, asked: Asked, backbone: Backbone, sam: SmallSam) -> None:
    """Every thing of a picture by every method."""
    image, features = asked.image, backbone.features(asked.image)
    began = time.perf_counter_ns()
    sam.embed(image)
    _add(scores["foveal"], "look_ms", (time.perf_counter_ns() - began) / 1e6)
    ways: list[tuple[str, str, Callable[[Box, Point], Mask]]] = [
        ("foveal", "box", lambda box, _: sam.from_box(image, box)),
        ("foveal", "point", lambda _, point: sam.from_point(image, point, features)),
        ("grabcut", "box", lambda box, _: mask_from_box(image, box)),
        ("grabcut", "point", lambda _, point: mask_from_point(image, point, features)),
        ("box", "box", lambda box, _: _filled(image, box)),
    ]
    for truth in asked.truths:
        box, point = mask_box(truth) or (0, 0, 1, 1), inner_point(truth)
        for method, kind, answer in ways:
            began = time.perf_counter_ns()
            found = answer(box, point)
            _add(scores[method], "ask_ms", (time.perf_counter_ns() - began) / 1e6)
            _add(scores[method], f"giou_{kind}_{asked.group}", mask_iou(truth, found))


def _filled(image: Image, box: Box) -> Mask:
    mask = np.zeros(image.shape[:2], bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return mask


def _add(metrics: dict[str, list[float]], name: str, value: float) -> None:
    metrics.setdefault(name, []).append(value)


def _figures(metrics: dict[str, list[float]]) -> dict[str, float]:
    """Means of each set, and the mean of the sets; medians of times."""
    means = {k: float(np.mean(v)) for k, v in metrics.items() if k.startswith("giou")}
    totals = {}
    for kind in ("giou_box", "giou_point"):
        own = [value for name, value in means.items() if name.startswith(f"{kind}_")]
        if own:
            totals[kind] = float(np.mean(own))
    times = {k: float(np.median(v)) for k, v in metrics.items() if k.endswith("_ms")}
    return {**totals, **means, **times}


if __name__ == "__main__":
    raise SystemExit(main())
