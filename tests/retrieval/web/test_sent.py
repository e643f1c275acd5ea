"""The wearer's list of what was sent: bounded, and nothing that fails stops a search."""

import json
from pathlib import Path

import pytest

from retrieval.web import sent
from retrieval.web.sent import SentLog
from stream.clock import VirtualClock


def test_the_file_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sent, "MAX_BYTES", 1000)
    path, clock = tmp_path / "sent.jsonl", VirtualClock(7)
    log = SentLog(path, clock)
    for number in range(500):
        log.add("searx.example", f"words {number}", "1 results")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["sent.jsonl", "sent.jsonl.1"]
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 2000
    last = json.loads(path.read_text().splitlines()[-1])
    assert last == {
        "at_ns": 7,
        "server": "searx.example",
        "words": "words 499",
        "outcome": "1 results",
    }
    assert len(log.recent) == sent.KEPT and log.recent[-1].words == "words 499"


def test_a_file_that_cannot_be_written_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = SentLog(tmp_path)
    log.add("searx.example", "words", "1 results")
    assert log.recent[0].words == "words" and "expected to write" in caplog.text
