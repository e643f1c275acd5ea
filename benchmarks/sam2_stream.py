"""SAM 2 on a stream: time and growth per frame beside transformers' session and the sam2 package.

    python -m benchmarks.sam2_stream [--json] [--quick] [--size 512] [--objects 1 10] [--frames 12]
    python -m benchmarks.sam2_stream --long 20000 [--plot FILE.svg]

All three run SAM 2.1-tiny (38.9 M parameters) with the same random weights on the same frames, in
turn on each frame, so that they see the machine in the same state; medians over frames beyond the
memory horizon. cpu_ms is the process's own time, the fairer number on a busy machine. `foveal` is
timed from a decoded frame to run-length masks; `transformers` from the frame through the
processor's resize to masks of the frame's size; `sam2` from its own preloaded tensors to masks of
the frame's size (it cannot stream: all frames are loaded before it starts). `--quick`: 128 px.
`--long`: a small configuration at 64 px over an endless stream, resident memory and state size,
beside transformers' session until the process holds 1 GB.
"""

import argparse
import gc
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from skimage import data

from benchmarks.report import emit
from perception.prompts import MaskPrompt
from perception.sam2_convert import convert
from perception.sam2_load import resize_config
from perception.sam2_model import Sam2Networks
from perception.sam2_random import random_model, randomise, tiny_config
from perception.sam2_state import state_bytes
from perception.sam2_tracker import Sam2Tracker
from stream.frame import Frame, Image, Mask

HEIGHT, WIDTH = 480, 640
WARM_UP = 8  # frames until all seven memories are full
SETTLED = 17  # frames until all sixteen pointers are there too
GOAL = 1.3
TONES = ("#1f77b4", "#d62728")
LONG_LIMIT_MB = 1024  # resident, where transformers' session is stopped
SAM2_CONFIG = "configs/sam2.1/sam2.1_hiera_t.yaml"


def main() -> None:
    """Measure and print the table and the JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="the last line is JSON in any case")
    parser.add_argument("--quick", action="store_true", help="128 px instead of 512")
    parser.add_argument("--size", type=int, default=512, help="model picture size in px")
    parser.add_argument("--objects", type=int, nargs="+", default=[1, 10])
    parser.add_argument("--frames", type=int, default=12, help="measured frames")
    parser.add_argument("--data", type=Path, help="a clip to take frames from (default: a photo)")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--long", type=int, metavar="N", help="stream N frames, measure memory")
    parser.add_argument("--peer-frames", type=int, help="with --long: transformers stops here")
    parser.add_argument("--plot", type=Path, help="with --long: write a picture of the curves")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.long:
        long_run(args.long, args.peer_frames or args.long, args.plot)
        return
    size = 128 if args.quick else args.size
    results: dict[str, dict[str, float | int | None]] = {}
    for count in args.objects:
        for name, row in compare(size, count, args).items():
            results.setdefault(name, {}).update(row)
    ratios = [_ratio(results, count) for count in args.objects]
    for count, ratio in zip(args.objects, ratios, strict=True):
        results["foveal"][f"speedup_{count}"] = ratio
    goal = {f"speedup_{count}": f">= {GOAL}" for count in args.objects}
    emit("sam2_stream", results, goal, min(ratios) >= GOAL, f"{size} px, {args.device}")


def _ratio(results: dict[str, dict[str, float | int | None]], count: int) -> float:
    """How many times the faster peer's time per frame ours fits into."""
    times = {name: row[f"ms_{count}"] for name, row in results.items() if f"ms_{count}" in row}
    ours = times.pop("foveal")
    return min(float(value or 0) for value in times.values()) / float(ours or 1)


@dataclass(slots=True)
class Runner:
    """One tracker under test: `step` takes a frame's index and returns masks [N, H, W]."""

    step: Callable[[int], Any]
    held: Callable[[], int]  # bytes of tensors it keeps


def compare(
    size: int, count: int, args: argparse.Namespace
) -> dict[str, dict[str, float | int | None]]:
    """Time all trackers in turn on the same frames with `count` objects."""
    total = WARM_UP + args.frames
    frames, masks = make_frames(total, args.data), make_masks(count)
    runners = make_runners(size, frames, masks, args)
    times: dict[str, list[float]] = {name: [] for name in runners}
    work: dict[str, list[float]] = {name: [] for name in runners}
    held: dict[str, list[int]] = {name: [] for name in runners}
    for index in range(total):
        for name, runner in runners.items():
            start, busy = time.perf_counter_ns(), time.process_time_ns()
            runner.step(index)
            if args.device != "cpu":
                torch.cuda.synchronize()
            times[name].append((time.perf_counter_ns() - start) / 1e6)
            work[name].append((time.process_time_ns() - busy) / 1e6)
            held[name].append(runner.held())
    rows: dict[str, dict[str, float | int | None]] = {}
    for name in runners:
        ms = statistics.median(times[name][WARM_UP:])
        settled = min(SETTLED, total - 2)  # until then pointers still fill up
        growth = (held[name][-1] - held[name][settled]) / (total - 1 - settled)
        rows[name] = {
            f"ms_{count}": ms,
            f"cpu_ms_{count}": statistics.median(work[name][WARM_UP:]),
            f"fps_{count}": 1000 / ms,
            f"growth_bytes_per_frame_{count}": growth,
        }
    return rows


def make_runners(
    size: int, frames: list[Frame], masks: list[Mask], args: argparse.Namespace
) -> dict[str, Runner]:
    """The trackers that are installed, all with the same weights."""
    predictor = sam2_predictor(size, args.device)
    if predictor is not None:
        model = convert({k: v.cpu() for k, v in predictor.state_dict().items()}, size)
    else:
        from transformers import Sam2VideoConfig

        config = Sam2VideoConfig()
        resize_config(config, size)
        model = random_model(config)
    model = model.to(args.device, getattr(torch, args.precision))
    runners = {
        "foveal": foveal_runner(model, frames, masks),
        "transformers": transformers_runner(model, frames, masks),
    }
    if predictor is not None and args.precision == "float32":
        runners["sam2"] = sam2_runner(predictor, frames, masks)
    return runners


def sam2_predictor(size: int, device: str) -> Any:
    """The package's predictor with random weights, or None where it is not installed."""
    try:
        import sam2.sam2_video_predictor as package
        from sam2.build_sam import build_sam2_video_predictor
    except ImportError:
        return None
    package.tqdm = lambda frames, **_: frames  # no bars between the table's lines
    overrides = [f"++model.image_size={size}"]
    predictor = build_sam2_video_predictor(
        SAM2_CONFIG, None, device=device, hydra_overrides_extra=overrides
    )
    predictor.fill_hole_area = 0  # its CUDA kernel is not built
    randomise(predictor, 0)
    return predictor


def foveal_runner(model: Any, frames: list[Frame], masks: list[Mask]) -> Runner:
    """This project's tracker."""
    tracker = Sam2Tracker(Sam2Networks(model))
    state = tracker.init_state()
    for mask in masks:
        state, _ = tracker.add(state, frames[0], None, MaskPrompt(mask))

    def step(index: int) -> Any:
        nonlocal state
        state, regions = tracker.step(state, frames[index])
        return regions

    return Runner(step, lambda: state_bytes(state))


def transformers_runner(model: Any, frames: list[Frame], masks: list[Mask]) -> Runner:
    """transformers' streaming session, every frame kept as it does."""
    from transformers import Sam2VideoInferenceSession

    networks = Sam2Networks(model)  # only for its resize, the same as the processor's
    side = (networks.image_size, networks.image_size)
    session = Sam2VideoInferenceSession(
        inference_device=networks.device,
        inference_state_device=networks.device,
        video_storage_device=networks.device,
        dtype=networks.dtype,
    )
    for number, mask in enumerate(masks):
        slot = session.obj_id_to_idx(number)
        tensor = torch.from_numpy(mask)[None, None].float()
        soft = F.interpolate(tensor, side, mode="bilinear", antialias=True)
        session.add_mask_inputs(slot, 0, (soft >= 0.5).float())
    session.obj_with_new_inputs = list(range(len(masks)))

    def step(index: int) -> Any:
        pixels = networks.pixels(frames[index].image)
        out = model(session, frame_idx=index, frame=pixels)
        logits = F.interpolate(out.pred_masks.float(), side, mode="bilinear", align_corners=False)
        logits = F.interpolate(logits, (HEIGHT, WIDTH), mode="bilinear", align_corners=False)
        return (logits > 0).cpu().numpy()

    return Runner(step, lambda: tensor_bytes(vars(session)))


def sam2_runner(predictor: Any, frames: list[Frame], masks: list[Mask]) -> Runner:
    """The sam2 package: all frames loaded first, then one generator."""
    size = predictor.image_size
    pixels = [
        torch.from_numpy(frame.image).permute(2, 0, 1)[None].float() / 255 for frame in frames
    ]
    images = torch.cat([F.interpolate(p, (size, size), mode="bilinear") for p in pixels])
    state = _sam2_state(predictor, images.sub(0.45).div(0.225))
    for number, mask in enumerate(masks):
        predictor.add_new_mask(state, 0, number, mask)
    stream: Iterator[Any] = predictor.propagate_in_video(state)

    def step(index: int) -> Any:
        found, _, logits = next(stream)
        assert found == index, "one frame after another"
        return (logits > 0).cpu().numpy()

    return Runner(step, lambda: tensor_bytes(state))


def _sam2_state(predictor: Any, images: torch.Tensor) -> Any:
    """`init_state` for frames in memory instead of a folder of JPEG files."""
    import sam2.sam2_video_predictor as module

    images = images.to(predictor.device)
    load = module.load_video_frames
    module.load_video_frames = lambda **_: (images, HEIGHT, WIDTH)
    try:
        return predictor.init_state("frames in memory")
    finally:
        module.load_video_frames = load


def tensor_bytes(thing: Any) -> int:
    """Bytes of all tensors reachable through containers and objects; shared storage once."""
    seen: set[int] = set()
    storages: dict[int, int] = {}
    waiting = [thing]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, torch.Tensor):
            storages[one.untyped_storage().data_ptr()] = one.untyped_storage().nbytes()
        elif isinstance(one, dict):
            waiting.extend(one.values())
        elif isinstance(one, list | tuple | set):
            waiting.extend(one)
        elif is_dataclass(one):
            waiting.extend(getattr(one, field.name) for field in fields(one))
        elif hasattr(one, "_vision_features"):  # transformers' feature cache
            waiting.append(vars(one))
    return sum(storages.values())


def make_frames(count: int, clip: Path | None = None) -> list[Frame]:
    """A clip's first frames, or a photograph that turns and grows."""
    if clip is not None:
        from stream.video import VideoReader

        images = (frame.image for frame in VideoReader(clip).read(0))
        pictures = [
            cv2.resize(image, (WIDTH, HEIGHT))
            for image, _ in zip(images, range(count), strict=False)
        ]
        pictures += [pictures[-1]] * (count - len(pictures))
    else:
        still = cv2.resize(data.astronaut(), (WIDTH, HEIGHT))
        pictures = [_turned(still, index) for index in range(count)]
    return [Frame(index * 33_333_333, 0, p, "bench") for index, p in enumerate(pictures)]


def _turned(still: Image, index: int) -> Image:
    turn = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), 1.5 * index, 1 + 0.002 * index)
    return np.asarray(cv2.warpAffine(still, turn, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT))


def make_masks(count: int) -> list[Mask]:
    """Squares on a grid."""
    masks = []
    for number in range(count):
        mask = np.zeros((HEIGHT, WIDTH), bool)
        x, y = 40 + 120 * (number % 5), 60 + 200 * (number // 5 % 2)
        mask[y : y + 110, x : x + 100] = True
        masks.append(mask)
    return masks


def long_run(count: int, peer_count: int, plot: Path | None) -> None:
    """Stream `count` frames; resident memory and state size of both at every hundredth part."""
    import psutil

    model, process = random_model(tiny_config(64)), psutil.Process()
    frames, masks = make_frames(64), make_masks(1)
    curves: dict[str, list[tuple[int, float, float]]] = {}
    makers = {"foveal": foveal_runner, "transformers": transformers_runner}
    results: dict[str, dict[str, float | int | None]] = {}
    for name, make in makers.items():
        gc.collect()
        endless = _Endless(frames)
        runner, curve = make(model, endless, masks), []
        start = time.perf_counter_ns()
        total = count if name == "foveal" else min(count, peer_count)
        for index in range(total):
            runner.step(index)
            if index % max(1, total // 100) == 0 or index == total - 1:
                rss = process.memory_info().rss / 2**20
                curve.append((index, rss, runner.held() / 2**20))
                if rss > LONG_LIMIT_MB:
                    break
        seconds = (time.perf_counter_ns() - start) / 1e9
        curves[name] = curve
        settled = next(i for i, point in enumerate(curve) if point[0] >= curve[-1][0] * 0.05)
        first, last = curve[settled], curve[-1]
        span = max(1, last[0] - first[0])
        results[name] = {
            "frames": last[0] + 1,
            "fps": (last[0] + 1) / seconds,
            "state_mb": last[2],
            "growth_bytes_per_frame": (last[2] - first[2]) * 2**20 / span,
            "rss_growth_bytes_per_frame": (last[1] - first[1]) * 2**20 / span,
            "peak_rss_mb": max(point[1] for point in curve),
        }
    if plot is not None:
        _plot(curves, plot)
    met = results["foveal"]["growth_bytes_per_frame"] == 0
    emit("sam2_stream_long", results, {"growth_bytes_per_frame": "0"}, met, "64 px, one object")


class _Endless(list[Frame]):
    """A few pictures that come again and again, each time as a new frame."""

    def __getitem__(self, index: Any) -> Any:
        picture = super().__getitem__(index % len(self))
        return Frame(index * 33_333_333, 0, picture.image, picture.source)


def _plot(curves: dict[str, list[tuple[int, float, float]]], path: Path) -> None:
    """State (full line) and resident memory (dashed) over frames, as an SVG."""
    width, height, left, bottom = 720, 360, 60, 40
    last = max(point[0] for curve in curves.values() for point in curve)
    top = max(point[1] for curve in curves.values() for point in curve) * 1.05

    def place(frame: int, megabytes: float) -> str:
        x = left + (width - left - 20) * frame / last
        return f"{x:.1f},{(height - bottom) * (1 - megabytes / top):.1f}"

    shapes = []
    for row, (name, curve) in enumerate(curves.items()):
        tone = TONES[row % len(TONES)]
        for column, dashes, what in ((2, "none", "state"), (1, "6 4", "resident memory")):
            points = " ".join(place(point[0], point[column]) for point in curve)
            style = f'stroke="{tone}" stroke-dasharray="{dashes}" fill="none" stroke-width="2"'
            shapes.append(f'<polyline points="{points}" {style}/>')
            y = 24 + 18 * len(shapes)
            shapes.append(f'<text x="{left + 16}" y="{y}" fill="{tone}">{name}: {what}</text>')
    for part in range(5):
        frame, megabytes = last * part // 4, top * part / 4
        right, down = place(frame, megabytes).split(",")
        shapes.append(f'<text x="{right}" y="{height - 20}" text-anchor="middle">{frame:,}</text>')
        shapes.append(f'<text x="{left - 6}" y="{down}" text-anchor="end">{megabytes:,.0f}</text>')
    shapes.append(f'<text x="{width / 2}" y="{height - 4}" text-anchor="middle">frames</text>')
    shapes.append('<text x="4" y="14">MiB</text>')
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
    head += 'font-family="sans-serif" font-size="12">'
    white = f'<rect width="{width}" height="{height}" fill="white"/>'
    path.write_text("\n".join([head, white, *shapes, "</svg>"]) + "\n")


if __name__ == "__main__":
    main()
