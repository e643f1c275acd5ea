"""The copy in RAM: exact where it is near, the same read at once or piece by piece."""

from contextlib import closing
from pathlib import Path
from sqlite3 import Connection

import numpy as np
import pytest

from retrieval.encoders import joint
from retrieval.encoders.text import unit_rows
from retrieval.memory.disk.forgetting import forget_event
from retrieval.memory.disk.schema import open_to_read
from retrieval.memory.disk.store import MemoryRecord, MemoryStore
from retrieval.memory.events import LOOK_BYTES, MemorySession, quantise
from retrieval.memory.moments import NEAREST, MeaningIndex, Moments, space_of
from tests.retrieval.memory.makers import NOON, event, sight

DIM = 256
RNG = np.random.default_rng(0)
VECTORS = unit_rows(RNG.normal(size=(60, DIM)).astype(np.float32))
LOOKS = [RNG.bytes(LOOK_BYTES) for _ in range(60)]


def filled(path: Path) -> MemoryStore:
    store = MemoryStore(path)
    store.begin(MemorySession("s", NOON, encoder="conse+words+net"))
    store.begin(MemorySession("t", NOON, encoder="another"))
    return store


def records(numbers: range) -> list[MemoryRecord]:
    return [
        MemoryRecord(
            event(number, frame=quantise(VECTORS[number]) if number % 3 == 0 else None),
            [
                sight(number, "cup", meaning=quantise(VECTORS[number]), look=LOOKS[number]),
                sight(number, "person"),
            ],
        )
        for number in numbers
    ]


def refreshed(connection: Connection, moments: Moments | None = None) -> Moments:
    moments = moments or Moments(connection, "words")
    connection.execute("BEGIN")
    moments.refresh()
    connection.execute("COMMIT")
    return moments


def test_cosines_are_those_of_the_vectors() -> None:
    index = MeaningIndex()
    assert index.cosines(VECTORS[0]).size == 0
    rows = [quantise(vector).tobytes() for vector in VECTORS]
    assert index.add(rows[:50]).all() and index.add([*rows[50:], b"short"]).tolist()[-1:] == [False]
    found = index.cosines(VECTORS[7])
    np.testing.assert_allclose(found, VECTORS @ VECTORS[7], atol=0.03)
    assert found.argmax() == 7 and found[7] > 0.9  # a query left unscaled would find all at 0
    allowed = np.arange(60) % 2 == 0
    some = index.cosines(VECTORS[7], allowed)
    assert np.array_equal(np.isfinite(some), allowed)
    assert np.isneginf(index.cosines(np.ones(DIM + 1, np.float32))).all()


def test_only_the_nearest_of_very_many_are_compared() -> None:
    many = unit_rows(RNG.normal(size=(NEAREST + 50, DIM)).astype(np.float32))
    index = MeaningIndex()
    index.add([quantise(vector).tobytes() for vector in many])
    found = index.cosines(many[3])
    assert np.isfinite(found).sum() == NEAREST and found.argmax() == 3


def test_a_look_is_as_long_as_the_encoders_make_it() -> None:
    assert LOOK_BYTES == joint.LOOK_BYTES


def test_piece_by_piece_is_the_same_as_at_once(tmp_path: Path) -> None:
    with filled(tmp_path / "m") as store, closing(open_to_read(store.path)) as reader:
        moments = refreshed(reader)
        for start in range(0, 60, 20):
            store.append(records(range(start, start + 20)))
            refreshed(reader, moments)
        whole, allowed = refreshed(reader), np.arange(60) < 50
        for one, other in zip(
            (*moments.by_meaning(VECTORS[5], allowed), *moments.by_look(LOOKS[5], allowed)),
            (*whole.by_meaning(VECTORS[5], allowed), *whole.by_look(LOOKS[5], allowed)),
            strict=True,
        ):
            np.testing.assert_array_equal(one, other)
        events, sights = whole.by_meaning(VECTORS[5], allowed)
        assert events.argmax() == 5 and sights.argmax() == 10
        assert np.isneginf(sights[1::2]).all()  # of a person there is no vector
        assert np.isneginf(events[50:]).all()
        np.testing.assert_array_equal(moments.order, whole.order)


def test_what_is_forgotten_is_no_longer_there(tmp_path: Path) -> None:
    with filled(tmp_path / "m") as store, closing(open_to_read(store.path)) as reader:
        store.append(records(range(10)))
        moments = refreshed(reader)
        forget_event(store, "e9")  # the newest: its number is not given to another
        store.append([MemoryRecord(event(11), [sight(11, "pan")])])
        refreshed(reader, moments)
        assert moments.events.numbers.tolist() == [*range(1, 10), 11]
        assert moments.meanings.size == 9 and set(moments.names.values()) == {
            "cup",
            "person",
            "pan",
        }


def test_folded_sights_are_as_near_as_what_stands_for_them(tmp_path: Path) -> None:
    with filled(tmp_path / "m") as store, closing(open_to_read(store.path)) as reader:
        store.append(records(range(4)))
        with store.transaction() as connection:
            connection.execute(
                "UPDATE sight SET alike = 1, look = NULL, meaning = NULL WHERE number = 7"
            )
            store.changed()
        moments = refreshed(reader)
        everything = np.ones(4, np.bool_)
        _, sights = moments.by_look(LOOKS[0], everything)
        assert sights[0] == sights[6] == 1.0
        _, sights = moments.by_meaning(VECTORS[0], everything)
        assert sights[0] == sights[6] > 0.9


def test_meanings_of_another_space_are_left_out(tmp_path: Path) -> None:
    with filled(tmp_path / "m") as store, closing(open_to_read(store.path)) as reader:
        vector = quantise(VECTORS[0])
        store.append(
            [MemoryRecord(event(0, session="t", frame=vector), [sight(0, "c", meaning=vector)])]
        )
        moments = refreshed(reader)
        assert moments.size == 1 and moments.meanings.size == moments.frames.size == 0


@pytest.mark.parametrize(
    ("encoder", "space"), [("conse+minilm+net", "minilm"), ("minilm", "minilm"), ("", "")]
)
def test_conse_puts_pictures_into_the_space_of_its_texts(encoder: str, space: str) -> None:
    assert space_of(encoder) == space
