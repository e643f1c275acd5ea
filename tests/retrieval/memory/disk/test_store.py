"""The file of a memory: what goes in comes out, and what is bad is refused with its reason."""

import os
import random
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from retrieval.memory.disk.schema import open_to_read
from retrieval.memory.disk.store import MAX_SIGHTS, MemoryRecord, MemoryStore, is_person
from retrieval.memory.events import LOOK_BYTES
from stream.errors import MemoryFileError
from tests.retrieval.memory.makers import event, new_store, record, sight

ROOT = Path(__file__).resolve().parents[4]
KILLS = 1
WRITER = """
import sys
from pathlib import Path
from retrieval.memory.disk.store import MemoryStore
from tests.retrieval.memory.makers import SESSION, record
store = MemoryStore(Path(sys.argv[1]))
store.begin(SESSION)
for number in range(int(sys.argv[2]), 10**6):
    store.append([record(number, "cup", "kettle", text=f"moment {number}")])
    print(number, flush=True)
"""


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(open_to_read(path)) as connection:
        return connection.execute(query).fetchall()


def test_what_goes_in_is_found_again(tmp_path: Path) -> None:
    frame = np.arange(4, dtype=np.int8)
    with new_store(tmp_path) as store:
        done = store.append([record(0, "cup", "kettle", text="EXIT", frame=frame)])
        assert (done.events, done.sights, done.refused) == (1, 2, {})
        again = store.append([record(0, "pan"), record(1)])
    assert again.events == 1
    assert list(again.refused) == ["expected an event with a new id, got one that is known"]
    assert rows(store.path, "SELECT id, text, frame FROM event") == [
        ("e0", "EXIT", frame.tobytes()),
        ("e1", "", None),
    ]
    assert rows(store.path, "SELECT name FROM name") == [("cup",), ("kettle",)]
    assert rows(store.path, "SELECT rowid FROM words WHERE words MATCH 'exits'") == [(1,)]


def test_an_event_of_no_session_is_refused_and_the_rest_go_in(tmp_path: Path) -> None:
    with new_store(tmp_path) as store:
        done = store.append([MemoryRecord(event(0, session="other")), record(1, "cup")])
    assert done.events == 1 and sum(done.refused.values()) == 1


def test_a_million_sights_in_one_event_are_capped_and_counted(tmp_path: Path) -> None:
    one = sight(0, "leaf")
    with new_store(tmp_path) as store:
        done = store.append([MemoryRecord(event(0), (one for _ in range(10**6)))])
    assert done.sights == MAX_SIGHTS
    assert sum(done.refused.values()) == 10**6 - MAX_SIGHTS


def test_of_people_and_the_unnamed_no_look_is_kept(tmp_path: Path) -> None:
    vectors = {"look": b"\1" * LOOK_BYTES, "meaning": np.ones(4, np.int8)}
    sights = [sight(0, name, **vectors) for name in ("cup", "young woman", "", "Person")]
    with new_store(tmp_path) as store:
        store.append([MemoryRecord(event(0), sights)])
    kept = rows(store.path, "SELECT look IS NULL, meaning IS NULL FROM sight ORDER BY number")
    assert kept == [(0, 0), (1, 1), (1, 0), (1, 1)]
    assert not is_person("mannequin") and is_person("two women")


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b", "a\nb", "a\x1b[31mb"])
def test_text_that_no_file_can_hold_is_cleaned(tmp_path: Path, text: str) -> None:
    with new_store(tmp_path) as store:
        assert store.append([record(0, text, text=text, said=text)]).events == 1
    assert rows(store.path, "SELECT substr(text, 1, 1), said = text FROM event") == [("a", 1)]


def test_a_second_writer_is_refused_with_the_firsts_process(tmp_path: Path) -> None:
    with new_store(tmp_path) as store:
        with pytest.raises(MemoryFileError, match=f"process {os.getpid()} "):
            MemoryStore(store.path)
        assert rows(store.path, "SELECT id FROM session") == [("s",)]  # reading goes on
    MemoryStore(store.path).close()


def test_the_file_is_for_nobody_elses_eyes(tmp_path: Path) -> None:
    with new_store(tmp_path) as store:
        assert store.path.stat().st_mode & 0o077 == 0


def test_a_clock_that_is_set_back_reorders_nothing(tmp_path: Path) -> None:
    from dataclasses import replace

    from tests.retrieval.memory.makers import NOON, SESSION

    with new_store(tmp_path) as store:
        store.begin(replace(SESSION, id="later", anchor_ns=NOON - 10**15))
        store.begin(replace(SESSION, anchor_ns=5))  # known already: its anchor stays
        store.append([record(0), MemoryRecord(event(1, session="later"))])
    order = rows(store.path, "SELECT id, anchor_ns FROM session ORDER BY number")
    assert order == [("s", NOON), ("later", NOON - 10**15)]


@pytest.mark.parametrize("content", [b"%PDF-1.7 and so on, long enough", b"SQLite", b"\0" * 5000])
def test_what_is_no_memory_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other"
    path.write_bytes(content)
    for opened in (MemoryStore, open_to_read):
        with pytest.raises(MemoryFileError, match="another kind"):
            opened(path)
    assert path.read_bytes() == content


def test_anothers_sqlite_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "browser.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE visit (url)")
    with pytest.raises(MemoryFileError, match="another program"):
        MemoryStore(path)


def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    with new_store(tmp_path) as store:
        store.connection.execute("PRAGMA user_version = 99")
    for opened in (MemoryStore, open_to_read):
        with pytest.raises(MemoryFileError, match="newer foveal"):
            opened(store.path)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    with new_store(tmp_path) as store:
        store.append([record(n, "cup", text=f"words {n} " * 50) for n in range(200)])
    data = bytearray(store.path.read_bytes())
    half = len(data) // 2
    data[half : half + 8192] = b"\xa5" * 8192
    store.path.write_bytes(data)
    with pytest.raises(MemoryFileError, match="expected a memory"):
        MemoryStore(store.path)


def test_a_log_that_was_cut_costs_its_last_events_alone(tmp_path: Path) -> None:
    with new_store(tmp_path) as store:
        for number in range(20):
            store.append([record(number, "cup")])
        copy = tmp_path / "copy"
        copy.write_bytes(store.path.read_bytes())
        log = Path(f"{store.path}-wal").read_bytes()
        Path(f"{copy}-wal").write_bytes(log[: len(log) - 3000])
    with MemoryStore(copy) as cut:
        found = [
            number for (number,) in cut.connection.execute("SELECT number FROM event ORDER BY 1")
        ]
    assert found == list(range(1, len(found) + 1)) and 0 < len(found) < 20


def test_a_medium_that_cannot_be_written_is_read(tmp_path: Path) -> None:
    with new_store(tmp_path) as store:
        store.append([record(0, "cup")])
        path = store.path
    shared = Path(f"{path}-shm")
    shared.mkdir()  # SQLite cannot make its file there, root or not
    assert rows(path, "SELECT id FROM event") == [("e0",)]
    with pytest.raises(MemoryFileError, match="expected a memory"):
        MemoryStore(path)


def test_a_full_disk_is_said_and_what_was_acknowledged_stays(tmp_path: Path) -> None:
    with new_store(tmp_path) as store:
        store.append([record(0, "cup")])
        pages = store.connection.execute("PRAGMA page_count").fetchone()[0]
        store.connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(MemoryFileError, match="full"):
            store.append([record(n, "cup", text="word " * 500) for n in range(1, 50)])
        assert rows(store.path, "SELECT id FROM event") == [("e0",)]
        store.connection.execute("PRAGMA max_page_count = 100000")
        assert store.append([record(1)]).events == 1


def test_nothing_acknowledged_is_lost_when_the_writer_is_killed(tmp_path: Path) -> None:
    path, rng, first = tmp_path / "wearer.memory", random.Random(0), 0
    for _ in range(KILLS):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(first)],
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        ) as process:
            assert process.stdout is not None
            for _ in range(rng.randint(1, 40)):
                acknowledged = int(process.stdout.readline())
            process.kill()
            for line in process.stdout.read().split("\n")[:-1]:
                acknowledged = int(line)
        found = rows(path, "SELECT count(*), max(number) FROM event")
        whole = rows(path, "SELECT count(*) FROM sight GROUP BY event")
        first = int(str(found[0][0]))
        assert acknowledged + 1 <= first <= acknowledged + 2  # one more was on its way
        assert whole == [(2,)] * first
