"""The thread that writes: nobody waits for it, drops are counted, and a full disk is said."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from retrieval.memory.disk.folding import DAY_NS
from retrieval.memory.disk.forgetting import Forgotten, forget_all
from retrieval.memory.disk.store import MemoryStore
from retrieval.memory.disk.writer import RETRY_NS, MemoryWriter
from retrieval.memory.events import MemorySession
from stream.clock import VirtualClock
from stream.errors import ChannelClosed, MemoryFileError, QueryError
from tests.retrieval.memory.makers import NOON, SESSION, event, sight

PATIENCE_S = 20.0


def held(writer: MemoryWriter) -> Callable[[], None]:
    """Keep the thread busy until the call that is returned."""
    began, go = threading.Event(), threading.Event()

    def work(_: MemoryStore) -> None:
        began.set()
        go.wait(PATIENCE_S)

    writer.run(work)
    assert began.wait(PATIENCE_S)
    return go.set


def count(table: str) -> Callable[[MemoryStore], object]:
    return lambda store: store.connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def test_what_is_handed_over_is_in_the_file_in_order(tmp_path: Path) -> None:
    with MemoryWriter(tmp_path / "m", VirtualClock()) as writer:
        writer.begin(SESSION)
        for number in range(200):
            assert writer.remember(event(number), [sight(number, "cup")], durable=number % 50 == 0)
        assert writer.run(count("event")).result(PATIENCE_S) == 200
        status = writer.status
        assert (status.events, status.sights, status.waiting) == (200, 200, 0)
        assert not status.paused and not status.refused
    with pytest.raises(ChannelClosed):
        writer.remember(event(0))


def test_what_waits_at_the_end_is_written(tmp_path: Path) -> None:
    writer = MemoryWriter(tmp_path / "m", VirtualClock())
    writer.begin(SESSION)
    go = held(writer)
    writer.remember(event(0), [sight(0, "cup")])
    closing = threading.Thread(target=writer.close)
    closing.start()
    go()
    closing.join(PATIENCE_S)
    assert writer.status.events == 1
    MemoryStore(tmp_path / "m").close()  # nobody holds it any more


def test_the_oldest_sights_are_dropped_and_the_words_never(tmp_path: Path) -> None:
    with MemoryWriter(tmp_path / "m", VirtualClock(), max_sights=4) as writer:
        writer.begin(SESSION)
        go = held(writer)
        for number in range(5):
            assert writer.remember(event(number, text="EXIT"), [sight(number, "cup")] * 2)
        assert writer.status.waiting == 5
        go()
        assert writer.run(count("event")).result(PATIENCE_S) == 5
        assert writer.run(count("sight")).result(PATIENCE_S) == 4
        assert writer.status.refused == {"sights that waited too long": 6}
        newest = writer.run(
            lambda store: store.connection.execute("SELECT min(event) FROM sight").fetchone()[0]
        )
        assert newest.result(PATIENCE_S) == 4


def test_events_that_pile_up_pause_the_memory(tmp_path: Path) -> None:
    with MemoryWriter(tmp_path / "m", VirtualClock(), max_events=3) as writer:
        writer.begin(SESSION)
        go = held(writer)
        taken = [writer.remember(event(number)) for number in range(5)]
        assert taken == [True] * 3 + [False] * 2
        assert writer.status.paused == "the disk does not keep up"
        assert writer.status.refused == {"the memory is paused": 2}
        go()
        writer.flush(PATIENCE_S)
        assert not writer.status.paused and writer.remember(event(9))


def test_a_full_disk_pauses_the_memory_until_there_is_room(tmp_path: Path) -> None:
    clock = VirtualClock()
    with MemoryWriter(tmp_path / "m", clock) as writer:
        writer.begin(SESSION)
        writer.run(limit_pages(True)).result(PATIENCE_S)
        go = held(writer)
        for number in range(20):
            writer.remember(event(number, text="word " * 1000))
        flushed = writer.run(lambda _: None)
        go()
        with pytest.raises(MemoryFileError, match="full"):
            flushed.result(PATIENCE_S)
        assert "full" in writer.status.paused and writer.status.waiting == 20
        assert not writer.remember(event(50))  # refused, and the session goes on
        roomy(writer)
        clock.advance_to(RETRY_NS)
        assert writer.remember(event(51))
        assert writer.run(count("event")).result(PATIENCE_S) == 21
        assert not writer.status.paused


def test_closing_on_a_full_disk_counts_what_is_lost(tmp_path: Path) -> None:
    writer = MemoryWriter(tmp_path / "m", VirtualClock())
    writer.begin(SESSION)
    writer.run(limit_pages(True)).result(PATIENCE_S)
    writer.remember(event(0, text="word " * 3000))
    writer.close()
    assert writer.status.refused == {"the memory was closed while it was paused": 1}


def roomy(writer: MemoryWriter) -> None:
    """Somebody frees space: no task of the writer's, which waits for just that."""
    writer._store.connection.execute("PRAGMA max_page_count = 1000000")


def limit_pages(full: bool) -> Callable[[MemoryStore], object]:
    """SQLite's own limit stands in for the disk's."""

    def work(store: MemoryStore) -> None:
        pages = store.connection.execute("PRAGMA page_count").fetchone()[0]
        store.connection.execute(f"PRAGMA max_page_count = {pages if full else 10**6}")

    return work


def test_what_is_forgotten_includes_what_was_waiting(tmp_path: Path) -> None:
    with MemoryWriter(tmp_path / "m", VirtualClock()) as writer:
        writer.begin(SESSION)
        go = held(writer)
        writer.remember(event(0), [sight(0, "cup")])
        forgotten = writer.run(forget_all)
        go()
        assert forgotten.result(PATIENCE_S) == Forgotten(1, 1)


def test_a_session_that_begins_forgets_what_is_past_its_time(tmp_path: Path) -> None:
    clock = VirtualClock()
    with MemoryWriter(tmp_path / "m", clock) as writer:
        writer.begin(SESSION)
        writer.remember(event(0), [sight(0, "cup")])
    with MemoryWriter(tmp_path / "m", clock, keep_days=7) as writer:
        writer.begin(MemorySession("later", NOON + 8 * DAY_NS))
        assert writer.run(count("event")).result(PATIENCE_S) == 0


def test_a_failure_of_one_task_is_its_callers(tmp_path: Path) -> None:
    def fails(_: MemoryStore) -> None:
        raise QueryError("expected something else")

    with MemoryWriter(tmp_path / "m", VirtualClock()) as writer:
        with pytest.raises(QueryError):
            writer.run(fails).result(PATIENCE_S)
        writer.flush(PATIENCE_S)
        with pytest.raises(MemoryFileError, match="only writer"):
            MemoryWriter(tmp_path / "m", VirtualClock())
