"""How much half precision changes: every network that bears it, against itself in float32.

    python -m benchmarks.precision [--device cpu|cuda|mps] [--precision bfloat16|float16]

Weights are the shipped ones, pictures the photographs that scikit-image carries. `largest` and
`mean` are differences over the largest value of float32; `agree` is what a user would see of it.
"""

import argparse

import numpy as np
from skimage import data
from torch import Tensor

from benchmarks.report import emit
from foveal.assets.convert import network_path
from foveal.setup.assistant import load_language_model
from foveal.setup.cutters import load_small_sam
from foveal.setup.retrieval.search import DETECTOR, load_backbone, load_recogniser
from perception.detect.detector import MODEL, Detector
from perception.device import Device, resolve_device
from perception.tracking.tracker import EmbeddedTracker
from stream.frame import Frame, Image, Mask
from stream.geometry import decode_mask, mask_iou

PICTURES = ("coffee", "astronaut", "chelsea", "rocket")
BOX = (100, 60, 300, 260)
WORDS = ("Is it a cup?", "What colour is the cat?", "Where am I?", "How many people are there?")
FRAMES = 6

Row = dict[str, float | int | None]


def main() -> int:
    """Run and print; exit code 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="kept for symmetry: always printed")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"))
    parser.add_argument("--precision", default="bfloat16", choices=("bfloat16", "float16"))
    args = parser.parse_args()
    whole = resolve_device(args.device, "float32")
    half = resolve_device(args.device, args.precision)
    results = {
        "backbone": backbone(whole, half),
        "names of pictures": names(whole, half),
        "object detector": detections(whole, half),
        "small SAM": masks(whole, half),
        "tracker": followed(whole, half),
        "small language model": likelihoods(whole, half),
    }
    note = f"{args.precision} against float32 on {whole.name}; agree: cosine, same first name, IoU"
    emit("precision", results, {}, None, note)
    return 0


def pictures() -> list[Image]:
    """[H, W, 3] uint8 RGB each."""
    return [np.ascontiguousarray(getattr(data, name)()) for name in PICTURES]


def backbone(whole: Device, half: Device) -> Row:
    """Dense features; agree: mean cosine."""
    exact, rough = (load_backbone(device=device) for device in (whole, half))
    pairs = [(exact.features(one).dense, rough.features(one).dense) for one in pictures()]
    cosine = float(np.mean([float((a * b).sum(0).mean()) for a, b in pairs]))
    return {
        **_errors([_array(a) for a, _ in pairs], [_array(b) for _, b in pairs]),
        "agree": cosine,
    }


def names(whole: Device, half: Device) -> Row:
    """Posteriors of whole pictures; agree: share with the same first name."""
    exact, rough = (
        load_recogniser(load_backbone(device=device)).classify(pictures(), [None] * len(PICTURES))
        for device in (whole, half)
    )
    same = float((exact.argmax(1) == rough.argmax(1)).mean())
    return {**_errors([exact], [rough]), "agree": same}


def detections(whole: Device, half: Device) -> Row:
    """Probabilities of the surest things; agree: share with the same names in order."""
    path = network_path(DETECTOR, MODEL)
    exact, rough = (
        [Detector.load(path, device).detect(one)[:3] for one in pictures()]
        for device in (whole, half)
    )
    pairs = [pair for a, b in zip(exact, rough, strict=True) for pair in zip(a, b, strict=False)]
    chances = [np.array([one[n].probability for one in pairs], np.float32) for n in (0, 1)]
    same = float(np.mean([a.name == b.name for a, b in pairs]))
    return {**_errors([chances[0]], [chances[1]]), "agree": same}


def masks(whole: Device, half: Device) -> Row:
    """Embeddings of pictures; agree: mean IoU of the masks from a box."""
    exact, rough = load_small_sam(whole), load_small_sam(half)
    seen = [[_array(sam.embed(one).cells) for one in pictures()] for sam in (exact, rough)]
    ious = [mask_iou(exact.from_box(one, BOX), rough.from_box(one, BOX)) for one in pictures()]
    return {**_errors(seen[0], seen[1]), "agree": float(np.mean(ious))}


def followed(whole: Device, half: Device) -> Row:
    """A cup that moves for six frames; agree: mean IoU of its masks."""
    exact, rough = _follow(whole), _follow(half)
    ious = [mask_iou(a, b) for a, b in zip(exact, rough, strict=True)]
    return {"largest": None, "mean": None, "agree": float(np.mean(ious))}


def likelihoods(whole: Device, half: Device) -> Row:
    """Log-probabilities of a continuation; agree: share of pairs in the same order."""
    exact, rough = (
        np.array(load_language_model(one.dtype, one.name).likelihood(WORDS, " Yes."), np.float32)
        for one in (whole, half)
    )
    order = [np.sign(one[:, None] - one[None]) for one in (exact, rough)]
    return {**_errors([exact], [rough]), "agree": float((order[0] == order[1]).mean())}


def _follow(device: Device) -> list[Mask]:
    tracker = EmbeddedTracker(load_backbone(device=device))
    image = pictures()[0]
    mask = np.zeros(image.shape[:2], bool)
    mask[60:280, 130:400] = True
    state, _ = tracker.add(tracker.init_state(), Frame(0, 0, image, "cup"), None, mask)
    found = []
    for number in range(1, FRAMES + 1):
        frame = Frame(number, number, np.roll(image, 6 * number, axis=1), "cup")
        state, (region,) = tracker.step(state, frame)
        found.append(decode_mask(region.mask))
    return found


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.float().cpu().numpy()


def _errors(exact: list[np.ndarray], rough: list[np.ndarray]) -> Row:
    scale = max(float(np.abs(one).max()) for one in exact)
    gaps = np.concatenate([np.abs(a - b).ravel() for a, b in zip(exact, rough, strict=True)])
    return {"largest": float(gaps.max()) / scale, "mean": float(gaps.mean()) / scale}


if __name__ == "__main__":
    raise SystemExit(main())
