"""The index folder: written whole, checked when read."""

import json
from pathlib import Path

import numpy as np
import pytest

from retrieval.search import KnowledgeSearcher
from retrieval.sources.entries import Entry, Knowledge
from retrieval.store.knowledge import (
    EMBEDDED_PASSAGES,
    KnowledgeStore,
    build_store,
    check_target,
    load_store,
    read_manifest,
    save_store,
)
from stream.errors import AssetError, OutputError, QueryError
from stream.events import Query
from tests.doubles.retrieval import HashEncoder

CLASSES = (("cup", "mug"), ("oak tree",))


def entry(title: str, *passages: str, topic: str = "") -> Entry:
    return Entry(f"t:{title}", title, "", passages, topic)


def small_store() -> KnowledgeStore:
    many = [f"Oak fact number {count} about acorns." for count in range(5)]
    entries = (entry("Oak", *many), entry("Cup", "A cup holds tea."), entry("Tea", "A drink."))
    return build_store(Knowledge("t", entries), HashEncoder(), CLASSES)


def test_rows_are_entities_then_first_passages() -> None:
    store = small_store()
    assert EMBEDDED_PASSAGES == 3
    assert store.index.size == 3 + (3 + 1 + 1)
    assert store.starts.tolist() == [0, 5, 6, 7]
    assert store.row_passage.tolist() == [0, 1, 2, 5, 6]
    assert store.passage_entry.tolist() == [0, 0, 0, 0, 0, 1, 2]


def test_more_passages_may_be_embedded_and_the_folder_says_how_many(tmp_path: Path) -> None:
    many = [f"Oak fact number {count} about acorns." for count in range(5)]
    knowledge = Knowledge("t", (entry("Oak", *many), entry("Cup", "A cup holds tea.")))
    store = build_store(knowledge, HashEncoder(), embedded=1000)
    assert store.index.size == 2 + 6 and store.row_passage.tolist() == [0, 1, 2, 3, 4, 5]
    save_store(store, tmp_path / "index")
    again = load_store(tmp_path / "index")
    assert again.embedded == 1000 and again.row_passage.tolist() == store.row_passage.tolist()


def test_an_index_from_before_embedded_was_told_is_read(tmp_path: Path) -> None:
    save_store(small_store(), tmp_path / "index")
    path = tmp_path / "index" / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["embedded"]
    path.write_text(json.dumps(manifest))
    assert load_store(tmp_path / "index").row_passage.tolist() == [0, 1, 2, 5, 6]


def test_progress_counts_every_text() -> None:
    seen: list[tuple[int, int]] = []
    knowledge = Knowledge("t", (entry("Cup", "A cup holds tea."),))
    build_store(knowledge, HashEncoder(), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]


def test_saved_store_answers_the_same(tmp_path: Path) -> None:
    store = small_store()
    save_store(store, tmp_path / "index", "abc")
    again = load_store(tmp_path / "index", HashEncoder().id)
    query = Query("text", "what holds tea", k=3)
    searchers = [KnowledgeSearcher(each, HashEncoder()) for each in (store, again)]
    assert searchers[0].search(query) == searchers[1].search(query)
    assert again.classes == ("cup, mug", "oak tree")
    assert again.class_vectors is not None
    assert store.class_vectors is not None
    np.testing.assert_array_equal(again.class_vectors, store.class_vectors)
    manifest = read_manifest(tmp_path / "index")
    assert (manifest["source_sha256"], manifest["entries"], manifest["dim"]) == ("abc", 3, 128)


def test_saving_again_replaces_the_old_index(tmp_path: Path) -> None:
    save_store(small_store(), tmp_path / "index")
    other = build_store(Knowledge("t", (entry("Ash", "A tree with grey bark."),)), HashEncoder())
    save_store(other, tmp_path / "index")
    assert [e.title for e in load_store(tmp_path / "index").entries] == ["Ash"]
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


def test_a_place_that_cannot_be_written_is_told_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="expected to write to"):
        check_target(tmp_path / "file" / "index")


def test_a_folder_that_is_no_index_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "keys.md").write_text("The key is under the mat.")
    with pytest.raises(OutputError, match="keys.md in it, which would be lost"):
        save_store(small_store(), tmp_path / "notes")
    assert (tmp_path / "notes" / "keys.md").exists()
    save_store(small_store(), tmp_path / "empty")
    (tmp_path / "empty" / "file").write_text("")
    with pytest.raises(OutputError, match="would be lost"):
        save_store(small_store(), tmp_path / "empty" / "file")


@pytest.mark.parametrize("name", ["entries.jsonl", "vectors.faiss", "words.npz", "classes.npz"])
def test_damaged_or_missing_file_is_named(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "index"
    save_store(small_store(), folder)
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 0xFF
    (folder / name).write_bytes(data)
    with pytest.raises(AssetError, match=f"{name}.*foveal index build"):
        load_store(folder)
    (folder / name).unlink()
    with pytest.raises(AssetError, match=name):
        load_store(folder)


@pytest.mark.parametrize(
    "change", [{"version": 99}, {"entries": 7}, {"dim": 4}, {"rows": 1}], ids=str
)
def test_manifest_that_does_not_fit_is_refused(tmp_path: Path, change: dict[str, int]) -> None:
    path = tmp_path / "index" / "manifest.json"
    save_store(small_store(), path.parent)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(AssetError, match="foveal index build"):
        load_store(path.parent)


def test_unreadable_manifest_and_no_index_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match="found none"):
        load_store(tmp_path)
    for text in ("{", "[]", "{}", "5"):
        (tmp_path / "manifest.json").write_text(text)
        with pytest.raises(AssetError, match="manifest"):
            load_store(tmp_path)


def test_another_encoder_is_refused(tmp_path: Path) -> None:
    save_store(small_store(), tmp_path / "index")
    with pytest.raises(AssetError, match="hash-64"):
        load_store(tmp_path / "index", "hash-64")
    with pytest.raises(QueryError, match="encoder"):
        KnowledgeSearcher(small_store(), HashEncoder(64))
