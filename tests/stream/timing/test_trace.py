"""The tracer: figures, rows, and a file that survives a kill."""

import json
import math
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import stream.timing.trace
from stream.clock import VirtualClock
from stream.errors import OutputError
from stream.timing.trace import DurationHistogram, Tracer

MS = 1_000_000


def events(path: Path) -> list[dict[str, Any]]:
    loaded = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(loaded, list)
    return loaded


def row_names(trace: list[dict[str, Any]]) -> dict[int, str]:
    rows = (event for event in trace if event["name"] == "thread_name")
    return {event["tid"]: event["args"]["name"] for event in rows}


def test_spans_are_written_one_row_a_stage(tmp_path: Path) -> None:
    clock = VirtualClock()
    with Tracer(tmp_path / "trace.json", clock) as tracer:
        for index in range(3):
            with tracer.span("tracker", pts_ns=index * 100 * MS, tracks=2):
                clock.advance_to(clock.now_ns() + 4 * MS)
            with tracer.span("backbone") as span:
                clock.advance_to(clock.now_ns() + 10 * MS)
                span.args["batch"] = 1
    trace = events(tmp_path / "trace.json")
    spans = [event for event in trace if event["ph"] == "X"]
    assert sorted(row_names(trace).values()) == ["backbone", "tracker"]
    assert len({event["tid"] for event in spans}) == 2
    assert [e["ts"] for e in spans] == [0, 4000, 14000, 18000, 28000, 32000]
    assert [e["dur"] for e in spans] == [4000, 10000] * 3
    assert spans[2]["args"] == {"tracks": 2, "pts_s": 0.1}
    assert spans[1]["args"] == {"batch": 1}


def test_summary_gives_quantiles_and_shares() -> None:
    clock = VirtualClock()
    tracer = Tracer(clock=clock)
    for duration in (*range(1, 100), 400):
        with tracer.span("a"):
            clock.advance_to(clock.now_ns() + duration * MS)
    with tracer.span("b"):
        clock.advance_to(clock.now_ns() + 5350 * MS)
    summary = tracer.summary()
    assert list(summary) == ["a", "b"]
    assert summary["a"].count == 100
    assert summary["a"].total_ns == 5350 * MS
    assert summary["a"].max_ns == 400 * MS
    assert summary["a"].p50_ns == pytest.approx(50 * MS, rel=1 / 64)
    assert summary["a"].p95_ns == pytest.approx(95 * MS, rel=1 / 64)
    assert summary["a"].share == pytest.approx(0.5)
    assert summary["b"].as_json()["p50_ms"] == pytest.approx(5350, rel=1 / 64)


def test_a_nested_stage_is_not_counted_twice() -> None:
    clock = VirtualClock()
    tracer = Tracer(clock=clock)
    with tracer.span("answer"):
        clock.advance_to(10 * MS)
        with tracer.span("search"):
            clock.advance_to(40 * MS)
    summary = tracer.summary()
    assert summary["answer"].total_ns == 40 * MS
    assert summary["answer"].self_ns == 10 * MS
    assert summary["search"].self_ns == 30 * MS
    assert sum(stage.share for stage in summary.values()) == pytest.approx(1)


def test_an_error_is_named_and_passed_on(tmp_path: Path) -> None:
    tracer = Tracer(tmp_path / "trace.json")
    with pytest.raises(KeyError), tracer.span("search"):
        raise KeyError("gone")
    tracer.close()
    tracer.close()
    span = events(tmp_path / "trace.json")[-1]
    assert span["args"]["error"] == "KeyError"
    with tracer.span("search"):
        pass
    assert tracer.summary()["search"].count == 2  # still summed after close


def test_overlapping_spans_of_one_stage_get_rows_of_their_own(tmp_path: Path) -> None:
    clock = VirtualClock()
    with Tracer(tmp_path / "trace.json", clock) as tracer:
        with tracer.span("speech"), tracer.span("speech"):
            clock.advance_to(MS)
        with tracer.span("speech"):
            clock.advance_to(2 * MS)
    trace = events(tmp_path / "trace.json")
    assert sorted(row_names(trace).values()) == ["speech", "speech (2)"]
    rows = [event["tid"] for event in trace if event["ph"] == "X"]
    assert rows[0] != rows[1]
    assert rows[2] == rows[1]  # the first row again: inner ended first, outer second


def test_threads_share_a_tracer(tmp_path: Path) -> None:
    tracer = Tracer(tmp_path / "trace.json")

    def work() -> None:
        for _ in range(200):
            with tracer.span("work"):
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tracer.close()
    assert tracer.summary()["work"].count == 800
    assert len([e for e in events(tmp_path / "trace.json") if e["ph"] == "X"]) == 800


def test_a_killed_process_leaves_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    code = (
        "import os, signal, sys, pathlib\n"
        "from stream.timing.trace import Tracer\n"
        "tracer = Tracer(pathlib.Path(sys.argv[1]))\n"
        "for i in range(500):\n"
        "    with tracer.span('frame', i): pass\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = Path(stream.timing.trace.__file__).resolve().parents[2]
    env = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, "-c", code, str(path)], env=env, check=False)
    assert done.returncode == -signal.SIGKILL
    trace = json.loads(path.read_text(encoding="utf-8") + "]")
    assert len([event for event in trace if event["ph"] == "X"]) == 500


def test_a_trace_that_cannot_be_made_says_where(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"file/trace\.json"):
        Tracer(tmp_path / "file" / "trace.json")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_ends_the_file_but_not_the_session() -> None:
    tracer = Tracer(Path("/dev/full"))
    with tracer.span("frame"):
        pass
    tracer.close()
    assert tracer.failure == "No space left on device"
    assert tracer.summary()["frame"].count == 1


def test_names_and_events_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream.timing.trace, "MAX_EVENTS", 50)
    with Tracer(tmp_path / "trace.json") as tracer:
        for index in range(100):
            with tracer.span(f"stage {index}"):
                pass
    assert len(tracer.summary()) == stream.timing.trace.MAX_STAGES + 1
    assert tracer.summary()[stream.timing.trace.OTHER].count == 100 - stream.timing.trace.MAX_STAGES
    assert len(events(tmp_path / "trace.json")) == 51
    assert tracer.failure is not None


@given(
    st.lists(st.integers(0, 10**13), min_size=1, max_size=200),
    st.floats(0.01, 1.0),
)
def test_quantiles_are_near_the_exact_ones(values: list[int], share: float) -> None:
    histogram = DurationHistogram()
    for value in values:
        histogram.add(value)
    rank = max(1, math.ceil(share * len(values)))
    exact = sorted(values)[rank - 1]
    assert histogram.quantile(share) == pytest.approx(exact, rel=1 / 60, abs=1)
    assert histogram.count == len(values)
    assert len(histogram.buckets) <= len(set(values))
