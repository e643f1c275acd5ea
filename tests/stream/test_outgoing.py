"""What left the machine: bounded, told to its own session; what fails stops no request."""

import json
from contextvars import copy_context
from pathlib import Path
from threading import Thread

import pytest

from stream import outgoing
from stream.clock import VirtualClock
from stream.outgoing import Outgoing, OutgoingFile, OutgoingLog, SentPicture, heard_by, is_local


def test_the_file_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outgoing, "MAX_BYTES", 1000)
    path, clock = tmp_path / "outgoing.jsonl", VirtualClock(7)
    log = OutgoingLog(path, clock)
    for number in range(500):
        log.add("web", "searx.example", f"words {number}", "1 results")
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == ["outgoing.jsonl", "outgoing.jsonl.1"]
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 2000
    last = json.loads(path.read_text().splitlines()[-1])
    assert last == {
        "at_ns": 7,
        "seam": "web",
        "server": "searx.example",
        "local": False,
        "words": "words 499",
        "pictures": [],
        "vectors": 0,
        "outcome": "1 results",
    }
    assert len(log.recent) == outgoing.KEPT and log.recent[-1].words == "words 499"
    OutgoingFile(path).begin()
    assert path.read_bytes() == b"" and len(list(tmp_path.iterdir())) == 1


def test_a_line_is_bounded() -> None:
    log = OutgoingLog()
    pictures = [SentPicture.of(bytes([number])) for number in range(100)]
    log.add("chat", "a.example", "x" * 9000 + "Why?", "sent", pictures)
    (sent,) = log.recent
    assert len(sent.words) == outgoing.MAX_WORDS and sent.words.endswith("Why?")
    assert sent.pictures == tuple(pictures[-outgoing.MAX_PICTURES :])


def test_a_file_that_cannot_be_written_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = OutgoingLog(tmp_path)
    log.add("web", "searx.example", "words", "1 results")
    assert log.recent[0].words == "words" and "expected to write" in caplog.text


def test_a_session_hears_of_its_own_requests_alone() -> None:
    log = OutgoingLog()
    mine: list[Outgoing] = []
    others: list[Outgoing] = []
    with heard_by(mine.append):
        context = copy_context()
    with heard_by(others.append):
        log.add("web", "a.example", "theirs", "sent")
        work = Thread(target=context.run, args=(log.add, "web", "a.example", "mine", "sent"))
        work.start()
        work.join()
    log.add("mqtt", "a.example", "nobody's", "sent")
    assert [sent.words for sent in mine] == ["mine"]
    assert [sent.words for sent in others] == ["theirs"]
    assert [sent.words for sent in log.recent] == ["theirs", "mine", "nobody's"]


def test_a_listener_that_fails_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    log = OutgoingLog()

    def fail(_: Outgoing) -> None:
        raise RuntimeError("the session has ended")

    with heard_by(fail):
        log.add("web", "a.example", "words", "sent")
    assert len(log.recent) == 1 and "listener" in caplog.text


@pytest.mark.parametrize(
    ("server", "local"),
    [
        ("localhost:8000", True),
        ("127.0.0.1:1", True),
        ("[::1]:80", True),
        ("127.0.0.1.example", False),
        ("api.example:443", False),
        ("192.168.0.2", False),
    ],
)
def test_servers_of_this_machine(server: str, local: bool) -> None:
    assert is_local(server) is local
