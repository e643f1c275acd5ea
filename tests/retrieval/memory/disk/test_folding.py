"""Folding shares vectors and nothing else; upkeep lets go of what is past its time."""

from pathlib import Path

import numpy as np

from retrieval.memory.disk.folding import DAY_NS, PROTOTYPES, fold, upkeep
from retrieval.memory.disk.store import MemoryRecord, MemoryStore
from retrieval.memory.events import LOOK_BYTES
from tests.retrieval.memory.makers import NOON, event, new_store, record, sight

COUNT = 40


def alike(seed: int, flips: int) -> bytes:
    """A look that differs from another of the same seed in few bits."""
    bits = np.random.default_rng(seed).integers(0, 2, 8 * LOOK_BYTES)
    bits[np.random.default_rng(1000 + flips).integers(0, bits.size, 40)] ^= 1
    return np.packbits(bits.astype(np.uint8)).tobytes()


def filled(folder: Path) -> MemoryStore:
    """Forty sights of a blue cup and, in between, of a red one, both called cup."""
    store = new_store(folder)
    for number in range(COUNT):
        seen = sight(number, "cup", look=alike(number % 2, number), meaning=np.ones(8, np.int8))
        store.append([MemoryRecord(event(number), [seen])])
    return store


def rows(store: MemoryStore, query: str) -> list[tuple[int, ...]]:
    return store.connection.execute(query).fetchall()


def test_times_stay_and_at_most_a_few_keep_their_vectors(tmp_path: Path) -> None:
    everything = "SELECT number, event, start_ns, end_ns, x0, name FROM sight ORDER BY number"
    with filled(tmp_path) as store:
        before = rows(store, everything)
        assert fold(store, NOON + DAY_NS) == COUNT - 2 * PROTOTYPES
        assert rows(store, everything) == before
        shared = rows(store, "SELECT number, alike FROM sight WHERE alike IS NOT NULL")
        assert all((number - other) % 2 == 0 for number, other in shared)  # red stays red
        owners = rows(store, "SELECT number FROM sight WHERE look IS NOT NULL")
        assert {other for _, other in shared} <= {number for (number,) in owners}
        assert len(owners) == 2 * PROTOTYPES
        assert fold(store, NOON + DAY_NS) == 0
        assert rows(store, "SELECT value FROM setting WHERE name = 'generation'") == [(1,)]


def test_what_is_of_today_and_what_looks_different_is_left_alone(tmp_path: Path) -> None:
    with filled(tmp_path) as store:
        assert fold(store, NOON) == 0
    with new_store(tmp_path / "other") as store:
        for number in range(COUNT):
            store.append(
                [MemoryRecord(event(number), [sight(number, "cup", look=alike(number, 0))])]
            )
        assert fold(store, NOON + DAY_NS) == 0


def test_without_looks_meanings_decide(tmp_path: Path) -> None:
    with new_store(tmp_path) as store:
        for number in range(COUNT):
            vector = np.zeros(8, np.int8)
            vector[number % 2] = 100
            store.append([MemoryRecord(event(number), [sight(number, "cup", meaning=vector)])])
        assert fold(store, NOON + DAY_NS) == COUNT - 2  # they are the very same


def test_upkeep_keeps_the_days_that_are_kept(tmp_path: Path) -> None:
    with filled(tmp_path) as store:
        assert upkeep(store, NOON + DAY_NS // 2, keep_days=30) == 0
        assert upkeep(store, NOON + 31 * DAY_NS, keep_days=30) == 0
        assert rows(store, "SELECT count(*) FROM event") == [(0,)]
        store.append([record(99)])
        assert upkeep(store, NOON + 90 * DAY_NS) == 0  # for ever, where no days are given
        assert rows(store, "SELECT count(*) FROM event") == [(1,)]
