"""What a replay did, and how it is told."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Summary:
    """What a replay did."""

    out: Path
    figures: dict[str, Any]  # JSON values
    stages: dict[str, dict[str, Any]]  # stage -> Tracer's figures

    @property
    def unanswered(self) -> bool:
        """Whether a question was refused."""
        return bool(self.figures["refused"].get("question"))


def print_summary(summary: Summary, as_json: bool) -> None:
    """A short table, or one JSON object."""
    if as_json:
        record = {"out": str(summary.out), **summary.figures, "stages": summary.stages}
        print(json.dumps(record))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{summary.out}", title_justify="left")
    for column in ("stage", "runs", "p50 ms", "p95 ms", "share"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for name, one in summary.stages.items():
        table.add_row(
            name,
            str(one["count"]),
            f"{one['p50_ms']:.1f}",
            f"{one['p95_ms']:.1f}",
            f"{100 * one['share']:.0f} %",
        )
    figures = summary.figures
    console = Console()
    console.print(table)
    console.print(
        f"{figures['frames']} frames ({figures['stream_s']} s) in {figures['took_s']} s: "
        f"{figures['speed_fps']} fps, {figures['keyframes']} keyframes, "
        f"{figures['answers']} of {figures['questions']} questions answered"
    )
    if figures["asked_after_the_end"]:
        late = figures["asked_after_the_end"]
        console.print(f"  {late} asked after the end: answered on the last frame")
    for cause, count in {**figures["refused"], **figures["faults"]}.items():
        why = figures["reasons"].get(cause)
        console.print(f"  {cause}: {count}" + (f" ({why})" if why else ""), markup=False)
    if memory := figures.get("memory"):
        console.print(
            f"  remembered {memory['events']} events and {memory['sights']} sights in "
            f"{memory['file']}"
        )
    console.print(f"open {summary.out / 'report.html'}")
