"""Where the time goes: spans per stage, as a Chrome trace file and as bounded summaries.

The file is Chrome's JSON array form (open it in Perfetto): one row per stage, one event a line.
Every line is written whole, so a trace cut short by a kill needs only its closing bracket.
"""

import json
import threading
from collections.abc import Mapping
from contextlib import suppress
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TextIO

from stream.clock import NS_PER_MS, NS_PER_S, Clock, MonotonicClock
from stream.writing import Writer, writing

MAX_EVENTS = 1_000_000  # about 120 MB; later spans are summed but no longer written
MAX_STAGES = 64  # further names are counted together
OTHER = "other stages"
SUB_BUCKETS = 32  # of each power of two: a quantile is at most 1/64 off
PROCESS_ID = 1


@dataclass(frozen=True, slots=True)
class StageSummary:
    """What one stage took, over all its spans."""

    count: int
    total_ns: int
    self_ns: int  # total_ns less what other stages took inside its spans
    p50_ns: int
    p95_ns: int
    max_ns: int
    share: float  # 0..1, self_ns of all stages' self_ns

    def as_json(self) -> dict[str, float | int]:
        """The same in milliseconds."""
        times = {
            f"{name}_ms": round(getattr(self, f"{name}_ns") / NS_PER_MS, 3)
            for name in ("total", "self", "p50", "p95", "max")
        }
        return {"count": self.count, **times, "share": round(self.share, 4)}


@dataclass(slots=True)
class DurationHistogram:
    """Counts of durations in logarithmic buckets; at most about 2,000 of them."""

    buckets: dict[int, int] = field(default_factory=dict)
    count: int = 0
    total_ns: int = 0
    max_ns: int = 0

    def add(self, duration_ns: int) -> None:
        """Count one duration; a negative one counts as 0."""
        duration_ns = max(0, duration_ns)
        index = _bucket(duration_ns)
        self.buckets[index] = self.buckets.get(index, 0) + 1
        self.count += 1
        self.total_ns += duration_ns
        self.max_ns = max(self.max_ns, duration_ns)

    def quantile(self, share: float) -> int:
        """The nearest-rank quantile, at most 1/64 off; 0 when nothing was counted."""
        rank = max(1, -int(-share * self.count // 1))
        seen = 0
        for index in sorted(self.buckets):
            seen += self.buckets[index]
            if seen >= rank:
                return min(_bucket_middle(index), self.max_ns)
        return 0


@dataclass(slots=True)
class _Stage:
    durations: DurationHistogram = field(default_factory=DurationHistogram)
    self_ns: int = 0
    rows: list[int] = field(default_factory=list)  # thread ids of its rows in the trace
    busy: set[int] = field(default_factory=set)  # rows that a span is on now


_PARENT: ContextVar["TraceSpan | None"] = ContextVar("foveal_span", default=None)


class TraceSpan:
    """One measured stretch; what is set on `args` shows in the trace."""

    __slots__ = ("_token", "_tracer", "args", "inner_ns", "parent", "row", "stage", "start_ns")

    def __init__(self, tracer: "Tracer", stage: str, args: dict[str, Any]) -> None:
        self._tracer = tracer
        self._token: Token[TraceSpan | None] | None = None
        self.stage = stage
        self.args = args
        self.parent: TraceSpan | None = None
        self.row = 0
        self.start_ns = 0
        self.inner_ns = 0  # taken by spans inside this one

    def __enter__(self) -> Self:
        self.parent = _PARENT.get()
        self._token = _PARENT.set(self)
        self._tracer._begin(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.args["error"] = kind.__name__
        self._tracer._end(self)
        if self._token is not None:
            # A generator may end in another context than it began in.
            with suppress(ValueError):
                _PARENT.reset(self._token)


class Tracer(Writer):
    """Measures spans and writes them to `path`, or only sums them up when there is none.

    The clock is real time of its own unless one is given: on a session's virtual clock, work
    takes no time. Spans may come from several threads. A disk that fills up ends the file, not
    the session: `failure` then says why. Raises OutputError when the file cannot be made.
    """

    def __init__(self, path: Path | None = None, clock: Clock | None = None) -> None:
        self._clock = clock or MonotonicClock()
        self._lock = threading.Lock()
        self._stages: dict[str, _Stage] = {}
        self._rows = 0
        self._written = 0
        self._file: TextIO | None = None
        self.failure: str | None = None
        if path is not None:
            with writing(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                self._file = path.open("w", encoding="utf-8")
            self._write({"ph": "M", "name": "process_name", "tid": 0, "args": {"name": "foveal"}})

    def span(self, stage: str, pts_ns: int | None = None, **args: Any) -> TraceSpan:
        """A context manager that measures its body; `pts_ns` is the stream time it works on."""
        if pts_ns is not None:
            args["pts_s"] = pts_ns / NS_PER_S
        return TraceSpan(self, stage, args)

    def summary(self) -> dict[str, StageSummary]:
        """Every stage's figures so far, in the order in which stages were first seen."""
        with self._lock:
            whole_ns = sum(stage.self_ns for stage in self._stages.values())
            return {
                name: StageSummary(
                    count=stage.durations.count,
                    total_ns=stage.durations.total_ns,
                    self_ns=stage.self_ns,
                    p50_ns=stage.durations.quantile(0.5),
                    p95_ns=stage.durations.quantile(0.95),
                    max_ns=stage.durations.max_ns,
                    share=stage.self_ns / whole_ns if whole_ns else 0.0,
                )
                for name, stage in self._stages.items()
                if stage.durations.count
            }

    def close(self) -> None:
        """End the file; spans after this are only summed up. Closing twice is fine."""
        with self._lock:
            file, self._file = self._file, None
            if file is None:
                return
            try:
                file.write("\n]\n")
                file.close()
            except OSError as error:
                self.failure = _reason(error)

    def _begin(self, span: TraceSpan) -> None:
        with self._lock:
            stage = self._stage(span.stage)
            # Spans of one stage that overlap need rows of their own, or viewers drop them.
            free = [row for row in stage.rows if row not in stage.busy]
            span.row = free[0] if free else self._add_row(span.stage, stage)
            stage.busy.add(span.row)
        span.start_ns = self._clock.now_ns()

    def _end(self, span: TraceSpan) -> None:
        end_ns = self._clock.now_ns()
        duration_ns = end_ns - span.start_ns
        event = {
            "ph": "X",
            "name": span.stage,
            "tid": span.row,
            "ts": span.start_ns / 1000,
            "dur": duration_ns / 1000,
            "args": span.args,
        }
        with self._lock:
            stage = self._stage(span.stage)
            stage.durations.add(duration_ns)
            stage.self_ns += max(0, duration_ns - span.inner_ns)
            stage.busy.discard(span.row)
            if span.parent is not None:
                span.parent.inner_ns += duration_ns
            self._write(event)

    def _stage(self, name: str) -> _Stage:
        if name not in self._stages and len(self._stages) >= MAX_STAGES:
            name = OTHER
        return self._stages.setdefault(name, _Stage())

    def _add_row(self, name: str, stage: _Stage) -> int:
        self._rows += 1
        stage.rows.append(self._rows)
        label = name if len(stage.rows) == 1 else f"{name} ({len(stage.rows)})"
        row = {"ph": "M", "tid": self._rows}
        self._write({**row, "name": "thread_name", "args": {"name": label}})
        self._write({**row, "name": "thread_sort_index", "args": {"sort_index": self._rows}})
        return self._rows

    def _write(self, event: Mapping[str, Any]) -> None:
        if self._file is None or self._written > MAX_EVENTS:
            return
        if self._written == MAX_EVENTS:
            self.failure = f"the trace file ends after {MAX_EVENTS} events"
        head = "[\n" if self._written == 0 else ",\n"
        self._written += 1
        try:
            line = json.dumps({**event, "pid": PROCESS_ID}, separators=(",", ":"), default=str)
            self._file.write(head + line)
            self._file.flush()
        except OSError as error:
            self.failure, self._file = _reason(error), None


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__


def _bucket(value: int) -> int:
    """Log-linear bucket: exact below SUB_BUCKETS, then SUB_BUCKETS per power of two."""
    shift = max(0, value.bit_length() - SUB_BUCKETS.bit_length())
    return shift * SUB_BUCKETS + (value >> shift)


def _bucket_middle(index: int) -> int:
    if index < 2 * SUB_BUCKETS:
        return index
    shift = index // SUB_BUCKETS - 1
    low = (index - shift * SUB_BUCKETS) << shift
    return low + (1 << shift) // 2
