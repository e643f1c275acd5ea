"""Two checkouts on one machine: each benchmark in both, in turn, and how its figures moved.

    python -m benchmarks.compare BEFORE AFTER "vos --quick" "replay --quick" [--rounds 2] [--json]
    python -m benchmarks.compare BEFORE AFTER help vos

Each argument after the folders is a benchmark with its options; both checkouts run it with this
interpreter. Rounds go before, after, after, before …, so that a machine that slows down or warms up
favours neither. `help` is the start-up of `foveal --help` (seconds, best of five). Beside what a
benchmark prints, the peak memory of its process and children is kept. The table gives the mean of
the rounds; rows that one checkout alone prints are left out.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.report import emit
from stream.clock import NS_PER_S, MonotonicClock
from stream.errors import ConfigError

HELP = "help"
HELP_RUNS = 5
# Run in the child: its benchmark as `python -m` would, then the peak of it and its own children.
_CHILD = """
import json, pathlib, runpy, sys
try:
    import resource
except ModuleNotFoundError:  # Windows
    resource = None
note, name = pathlib.Path(sys.argv.pop(1)), sys.argv.pop(1)
try:
    runpy.run_module(name, run_name="__main__", alter_sys=True)
finally:
    if resource is not None:
        who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        unit = 1 << 20 if sys.platform == "darwin" else 1 << 10  # bytes there, KiB elsewhere
        note.write_text(str(max(resource.getrusage(one).ru_maxrss for one in who) // unit))
"""

Figures = dict[tuple[str, str], float]  # (method, metric) -> value


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two checkouts."""

    name: str
    folder: Path


def main() -> None:
    """Run all in turn and print one table."""
    args = _parser().parse_args()
    before, after = Side("before", args.before), Side("after", args.after)
    results: dict[str, dict[str, float]] = {}
    for command in args.benchmarks:
        found = compared(command, before, after, args.rounds)
        for key, (old, new) in found.items():
            results[f"{command.split()[0]} {' '.join(key)}"] = {
                "before": old,
                "after": new,
                "ratio": new / old if old else float("nan"),
            }
    emit("compare", results, {}, True, note=f"means of {args.rounds} rounds, interleaved")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("before", type=Path, help="a checkout")
    parser.add_argument("after", type=Path, help="another one")
    parser.add_argument("benchmarks", nargs="+", metavar="BENCHMARK", help='such as "vos --quick"')
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="the last line is JSON in any case")
    return parser


def compared(
    command: str, before: Side, after: Side, rounds: int
) -> dict[tuple[str, str], tuple[float, float]]:
    """What both sides print of a benchmark, as means over the rounds."""
    runs: dict[str, list[Figures]] = {before.name: [], after.name: []}
    for side in order(before, after, rounds):
        print(f"{side.name}: {command}", file=sys.stderr, flush=True)
        runs[side.name].append(_run(command, side.folder))
    means = [_means(runs[side.name]) for side in (before, after)]
    return {key: (means[0][key], means[1][key]) for key in means[0] if key in means[1]}


def order(before: Side, after: Side, rounds: int) -> Iterator[Side]:
    """Before, after, after, before, before, after …"""
    for number in range(rounds):
        yield from (before, after) if number % 2 == 0 else (after, before)


def _run(command: str, folder: Path) -> Figures:
    if command == HELP:
        return {("foveal --help", "seconds"): min(_help_s(folder) for _ in range(HELP_RUNS))}
    name, *options = command.split()
    with tempfile.TemporaryDirectory() as kept:
        note = Path(kept) / "peak"
        child = [sys.executable, "-c", _CHILD, str(note), f"benchmarks.{name}", *options]
        done = subprocess.run(
            child, cwd=folder, env=_environment(folder), stdout=subprocess.PIPE, text=True
        )
        lines = done.stdout.strip().splitlines()
        if done.returncode or not lines:
            raise ConfigError(
                f"expected {command!r} to run in {folder}, got exit {done.returncode}"
            )
        peak = {(name, "peak_mb"): float(note.read_text())} if note.exists() else {}
        return {**figures(json.loads(lines[-1])), **peak}


def _environment(folder: Path) -> Mapping[str, str]:
    return {**os.environ, "PYTHONPATH": str(folder)}


def _help_s(folder: Path) -> float:
    clock = MonotonicClock()
    began_ns = clock.now_ns()
    subprocess.run(
        [sys.executable, "-m", "foveal.cli", "--help"],
        cwd=folder,
        env=_environment(folder),
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return (clock.now_ns() - began_ns) / NS_PER_S


def figures(document: Mapping[str, Any]) -> Figures:
    """The numbers of a benchmark's closing line."""
    return {
        (method, metric): float(value)
        for method, row in document["results"].items()
        for metric, value in row.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _means(runs: Sequence[Figures]) -> Figures:
    shared = set.intersection(*(set(run) for run in runs))
    return {key: fmean(run[key] for run in runs) for key in runs[0] if key in shared}


if __name__ == "__main__":
    main()
