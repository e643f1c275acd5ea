"""Forgetting: nothing of it is found, no byte of it stays, and the rest is as it was."""

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retrieval.memory.disk.forgetting import (
    Forgotten,
    forget_all,
    forget_before,
    forget_event,
    forget_name,
    forget_since,
)
from retrieval.memory.disk.schema import open_to_read
from retrieval.memory.disk.store import MemoryRecord, MemoryStore
from retrieval.memory.events import LOOK_BYTES
from stream.errors import MemoryFileError, QueryError
from tests.retrieval.memory.makers import MINUTE, NOON, event, new_store, record, sight


def on_disk(store: MemoryStore) -> bytes:
    """Every byte of the file and of what lies beside it."""
    found = sorted(store.path.parent.glob(f"{store.path.name}*"))
    assert store.path in found
    return b"".join(path.read_bytes() for path in found)


def ids(store: MemoryStore) -> list[str]:
    return [name for (name,) in store.connection.execute("SELECT id FROM event ORDER BY number")]


def filled(folder: Path) -> MemoryStore:
    store = new_store(folder)
    for number in range(60):
        word = f"zebra{number:03}"
        vectors = {"look": word.encode() * 20, "meaning": np.frombuffer(word.encode(), np.int8)}
        store.append(
            [
                MemoryRecord(
                    event(number, text=f"A {word} crosses.", said=f"Look, {word}!"),
                    [sight(number, f"thing {word}", **vectors)],
                )
            ]
        )
    return store


def test_a_name_is_gone_to_the_last_byte(tmp_path: Path) -> None:
    with new_store(tmp_path) as store:
        left, right = "Milk stands on the table here.", "All is well over there too."
        told = f"{left} The Wolpertinger is next to the milk. {right}"
        store.append([record(n, "wolpertinger", "cup", text=told) for n in range(40)])
        store.append(
            [record(40, "two Wolpertingers", said="a wolpertinger's", spoken_by="Wolpertinger")]
        )
        assert b"wolpertinger" in on_disk(store).lower()
        done = forget_name(store, "wolpertinger")
        assert (done.sights, done.cut) == (41, 41)
        assert b"wolpertinger" not in on_disk(store).lower()
        texts = store.connection.execute("SELECT DISTINCT text FROM event ORDER BY text")
        assert texts.fetchall() == [("",), (f"{left} {right}",)]
        assert store.connection.execute("SELECT name FROM name").fetchall() == [("cup",)]
        assert forget_name(store, "Wolpertinger") == Forgotten()


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(gone=st.sets(st.integers(0, 59), min_size=1, max_size=40))
def test_any_events_leave_no_byte_and_the_others_stay(
    gone: set[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with filled(tmp_path_factory.mktemp("memory")) as store:
        for number in gone:
            forget_event(store, f"e{number}")
        left = on_disk(store)
        for number in range(60):
            assert (f"zebra{number:03}".encode() in left) == (number not in gone)
        found = store.connection.execute("SELECT count(*) FROM words WHERE words MATCH 'crosses'")
        assert found.fetchone()[0] == 60 - len(gone)


def test_the_last_minutes_are_forgotten_whole_with_what_was_said_then(tmp_path: Path) -> None:
    with new_store(tmp_path) as store:
        store.append([record(n, "cup") for n in range(10)])
        store.append([MemoryRecord(event(8, id="said", start_ns=0, end_ns=1, parent="e8"))])
        done = forget_since(store, NOON + 8 * MINUTE + MINUTE // 2)
        assert (done.events, ids(store)) == (3, [f"e{n}" for n in range(8)])


def test_what_is_older_than_its_retention_goes(tmp_path: Path) -> None:
    with new_store(tmp_path) as store:
        store.append([record(n) for n in range(4)])
        assert forget_before(store, NOON + 2 * MINUTE).events == 1  # the next one ends just then
        assert ids(store) == ["e1", "e2", "e3"]


def test_all_is_forgotten_and_a_session_goes_on(tmp_path: Path) -> None:
    with filled(tmp_path) as store:
        assert forget_all(store).events == 60
        assert b"zebra" not in on_disk(store)
        assert store.append([record(99, "cup")]).events == 1  # of the session that was begun
        path = store.path
    with MemoryStore(path) as again:
        forget_all(again)
        assert again.connection.execute("SELECT count(*) FROM session").fetchone() == (0,)


def test_an_unknown_event_and_an_empty_name_are_refused(tmp_path: Path) -> None:
    with new_store(tmp_path) as store:
        with pytest.raises(QueryError, match="'nothing'"):
            forget_event(store, "nothing")
        with pytest.raises(QueryError, match="empty"):
            forget_name(store, " \0 ")


def test_a_reader_that_holds_the_log_is_named_as_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with filled(tmp_path) as store, closing(open_to_read(store.path)) as reader:
        store.connection.execute("PRAGMA busy_timeout = 50")
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM event").fetchone()
        with pytest.raises(MemoryFileError, match="forget again"):
            forget_event(store, "e7")
        assert "e7" not in ids(store)
        reader.execute("COMMIT")
        forget_event(store, "e8")
        assert b"zebra007" not in on_disk(store)


def test_what_a_kill_left_unwiped_is_wiped_by_the_next_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(_: MemoryStore) -> None:
        raise KeyboardInterrupt

    with filled(tmp_path) as store:
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(MemoryStore, "wipe", killed)
            forget_event(store, "e7")
        copy = tmp_path / "copy"
        copy.write_bytes(store.path.read_bytes())
        Path(f"{copy}-wal").write_bytes(Path(f"{store.path}-wal").read_bytes())
    assert b"zebra007" in copy.read_bytes() + Path(f"{copy}-wal").read_bytes()
    with MemoryStore(copy) as again:
        assert b"zebra007" not in on_disk(again)
        assert len(ids(again)) == 59
    with MemoryStore(copy) as again:
        left = again.connection.execute("SELECT value FROM setting WHERE name = 'unwiped'")
        assert left.fetchone() == (0,)


def test_what_shared_the_vectors_of_a_forgotten_sight_keeps_its_times(tmp_path: Path) -> None:
    with new_store(tmp_path) as store:
        seen = sight(0, "cup", look=b"\7" * LOOK_BYTES)
        store.append([MemoryRecord(event(0), [seen]), record(1, "cup")])
        store.connection.execute("UPDATE sight SET alike = 1 WHERE number = 2")
        forget_event(store, "e0")
        kept = store.connection.execute("SELECT start_ns, alike, look FROM sight").fetchall()
        assert kept == [(MINUTE, None, None)]


def test_a_deletion_that_fails_takes_nothing(tmp_path: Path) -> None:
    with filled(tmp_path) as store:
        store.connection.execute(
            "CREATE TEMP TRIGGER no BEFORE DELETE ON event BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
        with pytest.raises(MemoryFileError, match="no"):
            forget_all(store)
        store.connection.execute("DROP TRIGGER no")
        assert len(ids(store)) == 60
        assert isinstance(store.connection, sqlite3.Connection)
