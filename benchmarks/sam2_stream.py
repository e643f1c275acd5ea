"""SAM 2 on a stream: time and growth per frame beside transformers' session and the sam2 package.

    python -m benchmarks.sam2_stream [--json] [--quick] [--size 512] [--objects 1 10] [--frames 12]
    python -m benchmarks.sam2_stream --long 20000 [--plot FILE.svg]

All three run SAM 2.1-tiny (38.9 M parameters) with the same random weights on the same frames, in
turn on each frame, so that they see the machine in the same state; medians over frames beyond the
memory horizon. `--model edgetam`: EdgeTAM, beside transformers alone (the package has none).
cpu_ms is the process's own time, the fairer number on a busy machine. `foveal` is timed from a
decoded frame to run-length masks; `transformers` from the frame through the processor's resize to
masks of the frame's size; `sam2` from its own preloaded tensors to masks of the frame's size (it
cannot stream: all frames are loaded before it starts). `--quick`: 128 px.
Rows `equal_…` (`--equality SIZE`, 128 px): least IoU with the masks of `sam2` on the same pixels,
largest differences of logits, object pointers and memory tokens (distance: share of the norm).
`--long`: a small configuration at 64 px over an endless stream, resident memory and state size,
beside transformers' session until the process holds 2 GB.
"""

import argparse
import os
import statistics
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.report import emit
from benchmarks.sam2_equality import LEAST_IOU, equality
from benchmarks.sam2_long import long_run
from benchmarks.sam2_runners import Runner, make_frames, make_masks, make_runners
from stream.events import Region
from stream.geometry import decode_mask, mask_iou

WARM_UP = 8  # frames until all seven memories are full
SETTLED = 17  # frames until all sixteen pointers are there too
GOAL = 1.3
PEERS = {
    "foveal": ("transformers", "sam2"),
    "foveal-mixed": ("transformers-autocast", "sam2-autocast"),
}
Results = dict[str, dict[str, float | int | None]]


def main() -> None:
    """Measure and print the table and the JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="the last line is JSON in any case")
    parser.add_argument("--quick", action="store_true", help="128 px instead of 512")
    parser.add_argument("--size", type=int, default=512, help="model picture size in px")
    parser.add_argument("--model", default="tiny", choices=("tiny", "edgetam"))
    parser.add_argument("--objects", type=int, nargs="+", default=[1, 10])
    parser.add_argument("--frames", type=int, default=12, help="measured frames")
    parser.add_argument("--data", type=Path, help="a clip to take frames from (default: a photo)")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument(
        "--mixed", action="store_true", help="also with bfloat16 products, and peers in autocast"
    )
    parser.add_argument(
        "--equality", type=int, default=128, metavar="SIZE", help="compare at this size; 0: do not"
    )
    parser.add_argument("--long", type=int, metavar="N", help="stream N frames, measure memory")
    parser.add_argument("--peer-frames", type=int, help="with --long: transformers stops here")
    parser.add_argument("--plot", type=Path, help="with --long: write a picture of the curves")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.long:
        long_run(args.long, args.peer_frames or args.long, args.plot)
        return
    size = 128 if args.quick else args.size
    results: Results = {}
    for count in args.objects:
        for name, row in compare(size, count, args).items():
            results.setdefault(name, {}).update(row)
    for count in args.objects:
        _add_ratios(results, count)
    goal = {f"speedup_{count}": f">= {GOAL}" for count in args.objects}
    met = all(float(results["foveal"][key] or 0) >= GOAL for key in goal)
    if args.equality and args.model == "tiny":
        equal = equality(args.equality)
        goal["least_iou"] = f">= {LEAST_IOU}"
        met = met and all(float(row["least_iou"] or 0) >= LEAST_IOU for row in equal.values())
        results |= equal
    emit("sam2_stream", results, goal, met, f"{args.model}, {size} px, {args.device}")


def _add_ratios(results: Results, count: int) -> None:
    """How many times ours fits into the faster peer's time, wall and processor time."""
    for ours, peers in PEERS.items():
        for metric, name in (("ms", "speedup"), ("cpu_ms", "cpu_speedup")):
            key = f"{metric}_{count}"
            times = [float(results[peer][key] or 0) for peer in peers if peer in results]
            if ours in results and times:
                ratio = min(times) / float(results[ours][key] or 1)
                results[ours][f"{name}_{count}"] = ratio


def compare(size: int, count: int, args: argparse.Namespace) -> Results:
    """Time all trackers in turn on the same frames with `count` objects."""
    total = WARM_UP + args.frames
    frames, masks = make_frames(total, args.data), make_masks(count)
    runners = make_runners(size, frames, masks, args)
    laps = {name: _Laps() for name in runners}
    agreement: list[float] = []
    for index in range(total):
        shown = {name: _lap(runner, laps[name], index) for name, runner in runners.items()}
        if "foveal-mixed" in shown:
            agreement += _overlaps(shown["foveal"], shown["foveal-mixed"])
    rows = {name: _row(one, count, total) for name, one in laps.items()}
    if agreement:
        rows["foveal-mixed"][f"iou_with_float32_{count}"] = statistics.mean(agreement)
    return rows


@dataclass(slots=True)
class _Laps:
    """One tracker's figures, frame by frame."""

    wall: list[float] = field(default_factory=list)  # ms
    work: list[float] = field(default_factory=list)  # ms of the process
    held: list[int] = field(default_factory=list)  # bytes


def _lap(runner: Runner, laps: _Laps, index: int) -> Any:
    start, busy = time.perf_counter_ns(), time.process_time_ns()
    shown = runner.step(index)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    laps.wall.append((time.perf_counter_ns() - start) / 1e6)
    laps.work.append((time.process_time_ns() - busy) / 1e6)
    laps.held.append(runner.held())
    return shown


def _row(laps: _Laps, count: int, total: int) -> dict[str, float | int | None]:
    ms = statistics.median(laps.wall[WARM_UP:])
    settled = min(SETTLED, total - 2)  # until then pointers still fill up
    growth = (laps.held[-1] - laps.held[settled]) / (total - 1 - settled)
    return {
        f"ms_{count}": ms,
        f"cpu_ms_{count}": statistics.median(laps.work[WARM_UP:]),
        f"fps_{count}": 1000 / ms,
        f"growth_bytes_per_frame_{count}": growth,
    }


def _overlaps(left: Iterable[Region], right: Iterable[Region]) -> list[float]:
    pairs = zip(left, right, strict=True)
    return [mask_iou(decode_mask(one.mask), decode_mask(other.mask)) for one, other in pairs]


if __name__ == "__main__":
    main()
