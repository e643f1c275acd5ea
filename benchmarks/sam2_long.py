"""A long stream: resident memory and state size of this tracker and of transformers' session."""

import gc
import time
from pathlib import Path
from typing import Any

from benchmarks.report import emit
from benchmarks.sam2_runners import foveal_runner, make_frames, make_masks, transformers_runner
from stream.frame import Frame
from tests.doubles.sam2_random import random_model, tiny_config

TONES = ("#1f77b4", "#d62728")
LONG_LIMIT_MB = 2048  # resident, where transformers' session is stopped


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
