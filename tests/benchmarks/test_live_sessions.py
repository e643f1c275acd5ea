"""The live_sessions benchmark: what it makes of ages, and its camera's bookkeeping."""

import json
import time

import pytest

from benchmarks.live_sessions import Client, held, summary


def test_a_summary_counts_frames_per_session_and_time_per_frame() -> None:
    told = {
        "ages_ms": [100.0] * 19 + [500.0],
        "server_ages_ms": [80.0] * 20,
        "masklets": [1] * 10 + [2] * 10,
        "fewest": 8,
    }
    row = summary(told, count=2, seconds=2.0, cores=0.5, rss=2**30)
    assert row["p50_ms"] == 100 and 100 < row["p95_ms"] < 500
    assert (row["used_fps"], row["least_fps"]) == (5.0, 4.0)
    assert row["core_ms_per_frame"] == 50.0
    assert row["rss_mb"] == 1024
    assert row["masklets"] == 1.5


def test_a_session_that_got_nothing_is_not_held() -> None:
    none = summary({"ages_ms": [1.0], "server_ages_ms": [1.0], "fewest": 0}, 2, 1.0, 1.0, 1)
    results = {"foveal-1": {"p95_ms": 299.0}, "foveal-2": none}
    assert held(results) == 1
    assert held({"foveal-1": {"p95_ms": 301.0}}) == 0


async def test_masks_are_matched_with_the_frame_they_belong_to() -> None:
    client = Client([b""])
    now_ns = time.perf_counter_ns()
    client.camera.sent_ns = [now_ns - 10**9, now_ns - 5 * 10**8, now_ns]
    regions = [{"mask": {}}, {"mask": None}]
    # The models took the second frame first: stream time began with it.
    message = {"type": "regions", "pts_ms": 0, "age_ms": 480, "regions": regions}
    client._heard(json.dumps(message))
    assert client.first == 1 and client.camera.go.is_set()
    assert not client.ages_ms  # not yet measuring
    message = {**message, "age_ms": 7}
    client.measuring = True
    client._heard(json.dumps(message))
    client._heard(json.dumps({"type": "stats"}))
    client._heard(json.dumps({**message, "pts_ms": 10_000}))  # nobody sent that
    client._heard(json.dumps({**message, "pts_ms": 66}))  # 66.7 ms: the next one at 15 fps
    assert len(client.ages_ms) == 2
    assert client.ages_ms[0] == pytest.approx(500, abs=400)
    assert client.ages_ms[1] == pytest.approx(0, abs=400)
    assert client.server_ages_ms == [7, 7] and client.masklets == [1, 1]
    assert not client.answered.is_set()
    client._heard(json.dumps({"type": "end"}))
    assert client.answered.is_set()
    await client.connection.close()
