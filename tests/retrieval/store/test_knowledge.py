"""An index opened: whole, damaged, of another time, and what is derived from it."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from retrieval.search import KnowledgeSearcher
from retrieval.sources.entries import Knowledge
from retrieval.store.caches.derived import FOLDER, STAMP
from retrieval.store.changes import EMBEDDED_PASSAGES
from retrieval.store.check import check_index
from retrieval.store.index_folder import index_writer
from retrieval.store.knowledge import build_store, load_store
from retrieval.store.schema import FILE
from stream.errors import AssetError, OutputError, QueryError
from stream.events import Query, QueryFilter
from tests.doubles.retrieval import HashEncoder
from tests.retrieval.store.samples import (
    CLASSES,
    add,
    answers,
    build,
    delete,
    entry,
    oaks,
    trees,
)

ROOT = Path(__file__).resolve().parents[3]


def test_entities_and_first_passages_have_vectors() -> None:
    store = build_store(Knowledge("t", oaks()), HashEncoder(), CLASSES)
    assert EMBEDDED_PASSAGES == 3
    assert (store.entity.size, store.passage.size) == (3, 3 + 1 + 1)
    assert store.starts.tolist() == [0, 5, 6, 7]
    assert store.passage.has(np.arange(7)).tolist() == [True] * 3 + [False] * 2 + [True] * 2
    assert store.passage_entry.tolist() == [0, 0, 0, 0, 0, 1, 2]
    more = build_store(Knowledge("t", oaks()), HashEncoder(), embedded=1000)
    assert more.passage.size == 7


def test_progress_counts_every_text() -> None:
    seen: list[tuple[int, int]] = []
    knowledge = Knowledge("t", (entry("Cup", "A cup holds tea."),))
    build_store(knowledge, HashEncoder(), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]


def test_a_folder_answers_as_memory_does(tmp_path: Path) -> None:
    build(tmp_path / "index", oaks())
    memory = build_store(Knowledge("t", oaks()), HashEncoder(), CLASSES)
    again = load_store(tmp_path / "index", HashEncoder().id)
    assert answers(again) == answers(memory) and again.entries == oaks()
    assert again.classes == ("cup, mug", "oak tree")
    assert again.class_vectors is not None and memory.class_vectors is not None
    np.testing.assert_array_equal(again.class_vectors, memory.class_vectors)
    derived = load_store(tmp_path / "index")  # this time what is derived is read
    assert answers(derived) == answers(memory)


@pytest.mark.parametrize("change", ["add", "delete", "both", "most deleted", "many added"])
def test_a_changed_index_answers_as_one_built_anew(tmp_path: Path, change: str) -> None:
    build(tmp_path / "index", (*oaks(), *trees(30)))
    load_store(tmp_path / "index")  # derived files of the first generation
    left = [*oaks(), *trees(30)]
    if change in ("delete", "both"):
        delete(tmp_path / "index", "t:Cup", "t:Tree 7")
        left = [each for each in left if each.id not in ("t:Cup", "t:Tree 7")]
    if change == "most deleted":
        gone = [each.id for each in trees(25)]
        delete(tmp_path / "index", *gone)
        left = [each for each in left if each.id not in gone]
    fresh = [entry("Ash", "A tree with grey bark.")] if change in ("add", "both") else []
    fresh += list(trees(90)[30:]) if change == "many added" else []
    if fresh:
        add(tmp_path / "index", fresh)
    anew = build_store(Knowledge("t", (*left, *fresh)), HashEncoder())
    for _ in range(2):
        changed = load_store(tmp_path / "index")
        assert changed.entries == anew.entries
        assert answers(changed) == answers(anew)


def test_lists_are_kept_and_brought_up_to_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.store.caches.inverted.FLAT_ROWS", 60)
    monkeypatch.setattr("retrieval.store.caches.derived.FLAT_ROWS", 60)
    folder = tmp_path / "index"
    build(folder, trees(100))
    assert load_store(folder).passage.index.kind == "ivf"
    exact = next((folder / FOLDER).glob("passage-*.f16"))
    assert exact.stat().st_size == 200 * 128 * 2
    delete(folder, "t:Tree 7")
    add(folder, trees(120)[100:])
    query = HashEncoder().encode_text(["Tree 110 has bark.", "Tree 7 has bark.", "It is 3 years."])
    anew = build_store(Knowledge("t", load_store(folder).entries), HashEncoder())
    for _ in range(2):
        store = load_store(folder)
        assert store.passage.index.kind == "ivf" and store.passage.index.size == 240
        for number, (scores, found) in enumerate(zip(*store.passage.search(query, 1), strict=True)):
            wanted = anew.passage.search(query[number : number + 1], 1)
            np.testing.assert_allclose(scores, wanted[0][0], atol=1e-5)
            assert store.entries[store.passage_entry[found[0]]].id != "t:Tree 7"
    assert not exact.exists()
    data = bytearray(next((folder / FOLDER).glob("passage-*.f16")).read_bytes())
    data[3] ^= 0xFF
    next((folder / FOLDER).glob("passage-*.f16")).write_bytes(data)
    assert check_index(folder).derived == "missing"


@pytest.mark.parametrize("damage", ["gone", "stamp", "bytes", "foreign", "truncated"])
def test_derived_files_are_made_again(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "index"
    build(folder, oaks())
    wanted = answers(load_store(folder))
    derived = folder / FOLDER
    faiss = next(derived.glob("entity-*.faiss"))
    if damage == "gone":
        shutil.rmtree(derived)
    elif damage == "stamp":
        (derived / STAMP).write_text("[]")
    elif damage == "bytes":
        data = bytearray(faiss.read_bytes())
        data[-1] ^= 0xFF
        faiss.write_bytes(data)
    elif damage == "truncated":
        faiss.write_bytes(faiss.read_bytes()[:20])
    else:
        build(tmp_path / "other", trees(3))
        load_store(tmp_path / "other")
        shutil.rmtree(derived)
        shutil.copytree(tmp_path / "other" / FOLDER, derived)
    assert check_index(folder).derived == "missing"
    assert answers(load_store(folder)) == wanted
    assert check_index(folder).derived == "fresh"


def test_an_index_whose_entries_are_all_deleted_finds_nothing(tmp_path: Path) -> None:
    build(tmp_path / "index", oaks())
    delete(tmp_path / "index", *(each.id for each in oaks()))
    assert answers(load_store(tmp_path / "index")) == [[]] * 5
    add(tmp_path / "index", [entry("Cup", "A cup holds tea.")])
    assert answers(load_store(tmp_path / "index"))[0][0].id == "t:Cup"


def test_what_a_filter_does_not_admit_is_not_found(tmp_path: Path) -> None:
    dated = [entry("May", "The boiler was serviced.", date="2026-05-03")]
    dated += [entry("June", "The boiler was serviced.", date="2026-06-03T10:00:00+02:00")]
    store = build_store(Knowledge("t", (*dated, *trees(200))), HashEncoder())
    searcher = KnowledgeSearcher(store, HashEncoder())
    june = 1_780_272_000 * 10**9  # 2026-06-01

    def found(words: str, **told: object) -> list[str]:
        wanted = QueryFilter(**told)  # type: ignore[arg-type]
        return [each.id for each in searcher.search(Query("text", words, 9, filter=wanted))]

    assert found("boiler serviced", after_ns=june) == ["t:June"]
    assert found("boiler serviced", before_ns=june) == ["t:May"]
    assert found("Tree 7 has bark", after_ns=june) == ["t:June"]
    assert found("boiler", sources=("other",)) == [] and found("boiler", tiers=("own",)) == []
    assert found("boiler", sources=("t",))[0] in ("t:May", "t:June")


@pytest.mark.parametrize("keep", [0, 50, 3000, 20_000])
def test_a_truncated_index_is_refused(tmp_path: Path, keep: int) -> None:
    build(tmp_path / "index", trees(40))
    path = tmp_path / "index" / FILE
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(AssetError, match="expected an index"):
        load_store(tmp_path / "index")


def test_a_damaged_entry_or_vector_is_refused_and_named(tmp_path: Path) -> None:
    for number, (table, column, wanted) in enumerate(
        [
            ("entries", "data", "entry"),
            ("passages", "text", "entry"),
            ("vectors", "vector", "vector"),
        ]
    ):
        folder = tmp_path / str(number)
        build(folder, oaks())
        assert not check_index(folder).faults
        db = sqlite3.connect(folder / FILE)
        db.execute(f"UPDATE {table} SET {column} = replace({column}, {column}, 'other')")
        db.commit()
        db.close()
        with pytest.raises(AssetError, match="damaged one; `foveal index check`"):
            load_store(folder)
        assert any(wanted in fault for fault in check_index(folder).faults)


def test_foreign_newer_and_unfinished_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match="found none; build it"):
        load_store(tmp_path / "gone")
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / FILE).write_text("no SQLite, but long enough for a header" * 9)
    (tmp_path / "foreign").mkdir()
    foreign = sqlite3.connect(tmp_path / "foreign" / FILE)
    foreign.execute("CREATE TABLE bookmarks (url)")
    foreign.close()
    build(tmp_path / "newer", oaks())
    newer = sqlite3.connect(tmp_path / "newer" / FILE)
    newer.execute("PRAGMA user_version = 9")
    newer.close()
    with index_writer(tmp_path / "begun", new=True):
        pass
    for name, said in (
        ("text", "not a database"),
        ("foreign", "something else"),
        ("newer", "version 1 or earlier in .*, got 9"),
        ("begun", "interrupted"),
    ):
        with pytest.raises(AssetError, match=said):
            load_store(tmp_path / name)
        if name != "begun":
            with pytest.raises(AssetError, match=said):
                build(tmp_path / name, oaks())


def test_another_encoder_is_refused(tmp_path: Path) -> None:
    build(tmp_path / "index", oaks())
    with pytest.raises(AssetError, match="hash-64"):
        load_store(tmp_path / "index", "hash-64")
    with pytest.raises(QueryError, match="encoder"):
        KnowledgeSearcher(load_store(tmp_path / "index"), HashEncoder(64))
    with pytest.raises(QueryError, match="expected the encoder hash-128 of the index, got hash-64"):
        add(tmp_path / "index", trees(1), HashEncoder(64))
    assert build(tmp_path / "index", oaks(), HashEncoder(64)).unchanged == 0
    assert load_store(tmp_path / "index", "hash-64").entity.index.dim == 64


_READ = """
import os, sys
from pathlib import Path
from retrieval.store.knowledge import load_store
if os.geteuid() == 0:  # who may write anywhere
    os.setuid(65534)
print(len(load_store(Path(sys.argv[1])).entries))
"""


@pytest.mark.skipif(not hasattr(os, "setuid"), reason="permissions of POSIX")
def test_an_index_on_a_medium_that_cannot_be_written_is_read() -> None:
    with tempfile.TemporaryDirectory() as place:  # pytest's own is closed to other users
        folder = Path(place) / "index"
        build(folder, oaks())
        Path(place).chmod(0o755)
        folder.chmod(0o555)
        try:
            done = subprocess.run(
                [sys.executable, "-c", _READ, str(folder)],
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                capture_output=True,
                text=True,
            )
        finally:
            folder.chmod(0o755)
        assert done.stdout == "3\n", done.stderr
        assert not (folder / FOLDER).exists()


def test_a_place_that_cannot_be_written_or_is_no_index_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="expected to write to"):
        build(tmp_path / "file" / "index", oaks())
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "keys.md").write_text("The key is under the mat.")
    with pytest.raises(OutputError, match="keys.md in it"):
        build(tmp_path / "notes", oaks())
    assert [path.name for path in (tmp_path / "notes").iterdir()] == ["keys.md"]


def test_the_stamp_names_the_generation(tmp_path: Path) -> None:
    build(tmp_path / "index", oaks())
    load_store(tmp_path / "index")
    add(tmp_path / "index", trees(1))
    assert check_index(tmp_path / "index").derived == "older"
    load_store(tmp_path / "index")
    stamp = json.loads((tmp_path / "index" / FOLDER / STAMP).read_text())
    assert stamp["generation"] == check_index(tmp_path / "index").generation == 2
    assert len(list((tmp_path / "index" / FOLDER).iterdir())) == 5
