"""Video object segmentation: mean J, boundary F and fps, given each object's first mask.

    python -m benchmarks.vos --davis DIR --json [--quick] [--tracker NAME]...

NAME is embedded, label-propagation, sam2:ID or edgetam:ID, where ID is a hub id, a folder or a .pt
of the sam2 package; without --tracker the first two are run.

Data as in DAVIS: DIR/JPEGImages/480p/NAME/*.jpg and DIR/Annotations/480p/NAME/*.png. DAVIS is for
evaluation only: nothing is trained or tuned on its masks. Foreground is one object, as in DAVIS
2016. The peer `label-propagation` is the plain training-free recipe: first frame and last four,
window radius 6, ten best matches, temperature 0.1, at 256 rows, no edge refinement.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from skimage.io import imread

from benchmarks.report import emit
from foveal.assets.registry import asset_path
from foveal.setup.trackers import load_renewer
from perception.features.backbone import Backbone
from perception.sam2_tracking.open import load_sam2_tracker
from perception.sam2_tracking.tracker import Sam2Tracker
from perception.tracking.tracker import EmbeddedTracker
from stream.errors import ConfigError
from stream.frame import Frame, Image, Mask
from stream.geometry import decode_mask, mask_iou

GOAL_MEAN_J, GOAL_FPS = 0.85, 15.0
SPEED_FRAMES = 30  # of the first sequence, with three masks
QUICK_FRAMES = 20
MaskStream = Callable[[list[Image], Mask], Iterator[Mask]]


def main() -> None:
    """Run the chosen trackers over the same frames and print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--davis", "--data", type=Path, default=Path("../shared/data/davis"))
    parser.add_argument("--tracker", action="append", metavar="NAME", help="may be repeated")
    parser.add_argument("--image-size", type=int, metavar="PX", help="of SAM 2: 1024, 768, 512")
    parser.add_argument("--device", default="cpu", help="of SAM 2: cpu or cuda")
    parser.add_argument("--quick", action="store_true", help=f"first {QUICK_FRAMES} frames")
    parser.add_argument("--json", action="store_true", help="the last line is JSON in any case")
    args = parser.parse_args()
    torch.set_num_threads(2)
    backbone = Backbone.load(asset_path("efficientnet-lite2", "efficientnet-lite2-9656183e.pth"))
    methods: dict[str, MaskStream] = {
        "foveal-embedded": lambda images, mask: _embedded(backbone, images, mask),
        "label-propagation": lambda images, mask: _plain(backbone, images, mask),
    }
    if args.tracker:
        chosen = [_chosen(name, methods, args) for name in args.tracker]
        methods = dict(chosen)
    rows: dict[str, list[tuple[float, float, float]]] = {name: [] for name in methods}
    for sequence in sorted((args.davis / "JPEGImages" / "480p").iterdir()):
        images, masks = _load(args.davis, sequence.name, QUICK_FRAMES if args.quick else None)
        line = [f"{sequence.name:18}"]
        for name, method in methods.items():  # interleaved: both see the machine in one state
            row = _score(method, images, masks)
            rows[name].append(row)
            line.append(f"{name} J {row[0]:.3f} F {row[1]:.3f} {row[2]:.1f} fps")
        print("  ".join(line), flush=True)
    results = {
        name: dict(zip(("mean_j", "boundary_f", "fps"), np.mean(row, 0).tolist(), strict=True))
        for name, row in rows.items()
    }
    ours = results.get("foveal-embedded", {"mean_j": 0.0})
    if "foveal-embedded" in results:
        for count, name in ((1, "one_mask"), (3, "three_masks")):
            ours[f"fps_{name}"], ours[f"cpu_ms_{name}"] = speed(backbone, args.davis, count)
    met = ours["mean_j"] >= GOAL_MEAN_J and ours.get("fps_three_masks", 0.0) >= GOAL_FPS
    goal = {"mean_j": f">= {GOAL_MEAN_J}", "fps_three_masks": f">= {GOAL_FPS}"}
    emit("vos", results, goal, met)


def _chosen(
    name: str, methods: dict[str, MaskStream], args: argparse.Namespace
) -> tuple[str, MaskStream]:
    """METHOD name and tracker for one --tracker; raises ConfigError for an unknown one."""
    kind, _, weights = name.partition(":")
    if kind in ("sam2", "edgetam") and weights:
        tracker = load_sam2_tracker(weights, image_size=args.image_size, device=args.device)
        return f"foveal-{kind}", lambda images, mask: _sam2(tracker, images, mask)
    wanted = {"embedded": "foveal-embedded"}.get(name, name)
    if wanted not in methods:
        raise ConfigError(
            f"expected --tracker embedded, label-propagation, sam2:ID or edgetam:ID, got {name!r}"
        )
    return wanted, methods[wanted]


def _load(root: Path, name: str, limit: int | None) -> tuple[list[Image], list[Mask]]:
    files = sorted((root / "JPEGImages" / "480p" / name).glob("*.jpg"))[:limit]
    images = [imread(file) for file in files]
    folder = root / "Annotations" / "480p" / name
    masks = [np.atleast_3d(imread(folder / f"{file.stem}.png")).max(axis=-1) > 0 for file in files]
    return images, masks


def _score(
    method: MaskStream, images: list[Image], masks: list[Mask]
) -> tuple[float, float, float]:
    """Mean J and F over all frames but the first and last (DAVIS' convention), and fps."""
    start = time.perf_counter()
    found = list(method(images, masks[0]))
    fps = len(found) / (time.perf_counter() - start)
    pairs = list(zip(found[:-1], masks[1:-1], strict=True))
    j = [mask_iou(a, b) for a, b in pairs]
    f = [boundary_f(a, b) for a, b in pairs]
    return float(np.mean(j)), float(np.mean(f)), fps


def boundary_f(found: Mask, truth: Mask) -> float:
    """Boundary F-measure (Perazzi et al. 2016): contour pixels within 0.8 % of the diagonal."""
    radius = int(np.ceil(0.008 * np.hypot(*truth.shape)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    edges = [_contour(mask) for mask in (found, truth)]
    near = [cv2.dilate(edge, kernel) for edge in edges]
    counts = [int(edge.sum()) for edge in edges]
    if min(counts) == 0:
        return float(max(counts) == 0)
    precision = float((edges[0] & near[1]).sum()) / counts[0]
    recall = float((edges[1] & near[0]).sum()) / counts[1]
    total = precision + recall
    return 2 * precision * recall / total if total else 0.0


def _contour(mask: Mask) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8))
    return np.asarray(mask.astype(np.uint8) - inner, dtype=np.uint8)


def _embedded(backbone: Backbone, images: list[Image], mask: Mask) -> Iterator[Mask]:
    tracker = EmbeddedTracker(backbone, renewer=load_renewer())
    state = tracker.init_state()
    state, _ = tracker.add(state, Frame(0, 0, images[0], "davis"), None, mask)
    for index, image in enumerate(images[1:], 1):
        state, (region,) = tracker.step(state, Frame(index, 0, image, "davis"))
        yield decode_mask(region.mask)


def _sam2(tracker: Sam2Tracker, images: list[Image], mask: Mask) -> Iterator[Mask]:
    state = tracker.init_state()
    state, _ = tracker.add(state, Frame(0, 0, images[0], "davis"), None, mask)
    for index, image in enumerate(images[1:], 1):
        state, (region,) = tracker.step(state, Frame(index, 0, image, "davis"))
        yield decode_mask(region.mask)


def speed(backbone: Backbone, root: Path, count: int) -> tuple[float, float]:
    """Frames per second and processor ms a frame, features included, with `count` masks.

    The masks are those of a sequence's object, and boxes of a third of the frame's sides.
    """
    name = min(path.name for path in (root / "JPEGImages" / "480p").iterdir())
    images, masks = _load(root, name, SPEED_FRAMES)
    height, width = masks[0].shape
    tracker = EmbeddedTracker(backbone, renewer=load_renewer())
    state, first = tracker.init_state(), Frame(0, 0, images[0], "davis")
    boxes = [np.zeros((height, width), bool) for _ in range(2)]
    boxes[0][: height // 3, : width // 3] = True
    boxes[1][-height // 3 :, -width // 3 :] = True
    for mask in (masks[0], *boxes)[:count]:
        state, _ = tracker.add(state, first, None, mask)
    state, _ = tracker.step(state, first)  # the first step warms up
    start, busy = time.perf_counter(), time.process_time()
    for index, image in enumerate(images[1:], 1):
        state, _ = tracker.step(state, Frame(index, 0, image, "davis"))
    steps = len(images) - 1
    return steps / (time.perf_counter() - start), 1e3 * (time.process_time() - busy) / steps


def _plain(backbone: Backbone, images: list[Image], mask: Mask) -> Iterator[Mask]:
    """The peer on whole pictures."""
    peer = PlainPropagation(backbone.features(images[0]).dense, mask)
    for image in images[1:]:
        yield peer.step(backbone.features(image).dense, (image.shape[0], image.shape[1]))


class PlainPropagation:
    """The peer: dense similarity, ten best of the window over first frame and last four."""

    def __init__(self, key: torch.Tensor, mask: Mask) -> None:
        self._grid = (key.shape[-2], key.shape[-1])
        cells = cv2.resize(mask.astype(np.float32), self._grid[::-1], interpolation=cv2.INTER_AREA)
        rows, cols = (torch.arange(side) for side in self._grid)
        places = torch.stack(torch.meshgrid(rows, cols, indexing="ij")).reshape(2, -1).T
        self._far = (places[:, None] - places[None]).abs().amax(-1) > 6
        self._memory = [(key.flatten(1), torch.from_numpy(cells).flatten())]

    def step(self, key: torch.Tensor, size: tuple[int, int]) -> Mask:
        """[C, h, w] features of the next frame -> its mask [H, W]."""
        query = key.flatten(1)
        near = [torch.where(self._far, -torch.inf, query.T @ k) for k, _ in self._memory]
        best, index = torch.cat(near, 1).topk(10, dim=1)
        weight = torch.softmax(best / 0.1, 1)
        label = (weight * torch.cat([v for _, v in self._memory])[index]).sum(1)
        self._memory = [self._memory[0], *self._memory[1:][-3:], (query, label)]
        soft = cv2.resize(label.reshape(self._grid).numpy(), size[::-1])
        return np.asarray(soft >= 0.5)


if __name__ == "__main__":
    main()
