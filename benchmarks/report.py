"""What every benchmark prints: a table, then one JSON line with hardware and version."""

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

Results = Mapping[str, Mapping[str, float | int | None]]


def hardware() -> dict[str, object]:
    """Processor, cores and accelerator of this machine."""
    import torch

    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "gpu": gpu,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def emit(
    benchmark: str, results: Results, goal: Mapping[str, str], met: bool | None, note: str = ""
) -> None:
    """Print the table (methods down, metrics across) and the closing JSON line.

    `met` is None where no goal was missed, but not every one was measured. `NAME_low` and
    `NAME_high` are the ends of NAME's interval: the table has them in one cell.
    """
    metrics = list(dict.fromkeys(metric for row in results.values() for metric in row))
    metrics = [metric for metric in metrics if not _ends(metric, metrics)]
    table = Table(title=benchmark, caption=note or None)
    table.add_column("method")
    for metric in metrics:
        table.add_column(metric, justify="right")
    for method, row in results.items():
        table.add_row(method, *(_cell(row, metric) for metric in metrics))
    Console(width=max(100, 16 * (len(metrics) + 2))).print(table)
    document = {
        "benchmark": benchmark,
        "hardware": hardware(),
        "version": _version(),
        "results": results,
        "goal": goal,
        "met": met,
    }
    print(json.dumps(document), flush=True)


def _ends(metric: str, metrics: Sequence[str]) -> bool:
    """Whether a metric is an end of another one's interval."""
    name, _, end = metric.rpartition("_")
    return end in ("low", "high") and name in metrics


def _cell(row: Mapping[str, float | int | None], metric: str) -> str:
    value, low, high = (row.get(f"{metric}{end}") for end in ("", "_low", "_high"))
    if value is None:
        return "-"
    said = f"{value:.4g}" if isinstance(value, float) else str(value)
    return said if low is None or high is None else f"{value:.3f} ({low:.2f}-{high:.2f})"


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _version() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"
