"""Small indexes for the tests of the store."""

from collections.abc import Sequence
from pathlib import Path

from retrieval.encoders.conse import class_vectors
from retrieval.search import KnowledgeSearcher
from retrieval.sources.entries import Entry, Knowledge
from retrieval.store.changes import Change, add_entries, class_keys, delete_entries, replace_entries
from retrieval.store.index_folder import index_writer
from retrieval.store.knowledge import KnowledgeStore
from stream.events import Evidence, Query
from tests.doubles.retrieval import HashEncoder

CLASSES = (("cup", "mug"), ("oak tree",))
ASKED = ("what holds tea", "oak", "grey bark of a tree", "acorns number 4", "Tea: a drink")


def entry(title: str, *passages: str, topic: str = "", date: str = "") -> Entry:
    return Entry(f"t:{title}", title, "", passages, topic, date=date)


def oaks(count: int = 5) -> tuple[Entry, ...]:
    many = [f"Oak fact number {number} about acorns." for number in range(count)]
    return (entry("Oak", *many), entry("Cup", "A cup holds tea."), entry("Tea", "A drink."))


def trees(count: int) -> tuple[Entry, ...]:
    return tuple(
        entry(f"Tree {n}", f"Tree {n} has bark.", f"It is {n} years.") for n in range(count)
    )


def build(
    folder: Path, entries: Sequence[Entry], encoder: HashEncoder | None = None, embedded: int = 3
) -> Change:
    encoder = encoder or HashEncoder()
    vectors = class_vectors(encoder, CLASSES)
    with index_writer(folder, new=True) as db:
        knowledge = Knowledge("t", tuple(entries))
        return replace_entries(
            db, knowledge, encoder, class_keys(CLASSES), vectors, embedded, "abc"
        )


def add(
    folder: Path,
    entries: Sequence[Entry],
    encoder: HashEncoder | None = None,
    replace: bool = False,
) -> Change:
    with index_writer(folder) as db:
        return add_entries(db, Knowledge("t", tuple(entries)), encoder or HashEncoder(), replace)


def delete(folder: Path, *ids: str) -> Change:
    with index_writer(folder) as db:
        return delete_entries(db, ids)


def answers(store: KnowledgeStore) -> list[list[Evidence]]:
    searcher = KnowledgeSearcher(store, HashEncoder())
    return [searcher.search(Query("text", words, 4)) for words in ASKED]
