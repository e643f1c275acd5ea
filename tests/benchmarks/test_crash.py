"""Processes that are killed while they change an index; and that the harness would see a loss."""

import os
from pathlib import Path

import pytest

from benchmarks.crash import Tally, WordVectors, _entry, _look, crash
from retrieval.sources.entries import Knowledge
from retrieval.store.changes import replace_entries
from retrieval.store.index_folder import index_writer


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL of POSIX")
def test_six_kills_lose_nothing(tmp_path: Path) -> None:
    tally = crash(tmp_path / "index", 6, seed=3)
    assert tally.kills == sum(tally.during.values()) == 6
    assert (tally.lost, tally.unacknowledged, tally.torn, tally.faults) == (0, 0, 0, 0)
    assert tally.encoded_twice == 0


def test_what_is_lost_torn_or_not_acknowledged_is_counted(tmp_path: Path) -> None:
    entries = [_entry(f"crash:{number}", "x") for number in range(4)]
    with index_writer(tmp_path / "index", new=True) as db:
        replace_entries(db, Knowledge("crash", tuple(entries[:3])), WordVectors())
    holds = {entry.id: entry.passages for entry in entries[:3]}

    def seen(state: list[int], *said: dict[str, object]) -> Tally:
        tally = Tally()
        told = {entries[number].id: entries[number].passages for number in state}
        assert _look(tmp_path / "index", told, said, tally, killed=True) == holds
        return tally

    assert seen([0, 1, 2]).torn == 0
    assert (seen([0, 1, 2, 3]).lost, seen([0, 1]).unacknowledged) == (1, 1)
    begins: dict[str, object] = {"begins": "add", "ids": ["crash:2"], "words": "x"}
    assert (seen([0, 1], begins).committed, seen([0, 1], begins).torn) == (1, 0)
    half: dict[str, object] = {"begins": "add", "ids": ["crash:2", "crash:3"], "words": "x"}
    torn = seen([0, 1], half)
    assert (torn.torn, torn.lost, torn.unacknowledged) == (1, 0, 0)
    assert seen([0, 1], half, {"acknowledged": "add"}).lost == 1
