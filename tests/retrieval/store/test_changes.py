"""Changes of an index: what is encoded, refused and acknowledged, and who may write."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from retrieval.encoders.conse import class_vectors
from retrieval.encoders.text import Progress, Vectors
from retrieval.store import encoding
from retrieval.store.changes import class_keys, known_class_vectors
from retrieval.store.check import check_index
from retrieval.store.index_folder import has_index, index_writer
from retrieval.store.knowledge import load_store
from retrieval.store.lock import writer_lock
from stream.errors import OutputError, SourceError
from tests.doubles.retrieval import HashEncoder
from tests.retrieval.store.samples import CLASSES, add, answers, build, delete, entry, oaks, trees

ROOT = Path(__file__).resolve().parents[3]


class CountingEncoder(HashEncoder):
    """Counts texts, and gives up or gives NaN where it is told to."""

    def __init__(self, ends_after: int | None = None, broken: str = "?") -> None:
        super().__init__()
        self.encoded: list[str] = []
        self._ends_after, self._broken = ends_after, broken

    def encode_text(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        if self._ends_after is not None and len(self.encoded) >= self._ends_after:
            raise KeyboardInterrupt
        self.encoded += [text for text in texts if text not in ("cup", "mug", "oak tree")]
        vectors = super().encode_text(texts, progress)
        vectors[[self._broken in text for text in texts]] = np.nan
        return vectors


def test_a_build_goes_on_where_it_was_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "ROUND_TEXTS", 16)
    first, second = CountingEncoder(ends_after=32), CountingEncoder()
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "index", trees(30), first)
    assert not has_index(tmp_path / "index")
    assert check_index(tmp_path / "index").waiting == 32
    change = build(tmp_path / "index", trees(30), second)
    assert change.encoded == len(second.encoded) == 90 - 32
    assert not set(first.encoded) & set(second.encoded)
    assert has_index(tmp_path / "index") and not check_index(tmp_path / "index").waiting


def test_what_is_unchanged_is_not_encoded_again(tmp_path: Path) -> None:
    build(tmp_path / "index", oaks())
    again = CountingEncoder()
    changed = (oaks()[0], entry("Cup", "A cup holds tea.", "It has a handle."), *trees(1))
    change = build(tmp_path / "index", changed, again)
    assert (change.added, change.removed, change.unchanged) == (2, 1, 1)
    tree = ["Tree 0: Tree 0 has bark.", "Tree 0 has bark.", "It is 0 years."]
    assert sorted(again.encoded) == sorted(["It has a handle.", *tree])
    assert change.generation == 2
    assert not check_index(tmp_path / "index").faults


def test_a_build_of_the_same_changes_nothing(tmp_path: Path) -> None:
    build(tmp_path / "index", oaks())
    again = build(tmp_path / "index", oaks())
    assert (again.generation, again.encoded, again.unchanged) == (1, 0, 3)
    keys = class_keys(CLASSES)
    with index_writer(tmp_path / "index") as db:
        known = known_class_vectors(db, HashEncoder().id, keys)
        assert known is not None
        np.testing.assert_array_equal(known, class_vectors(HashEncoder(), CLASSES))
        assert known_class_vectors(db, "another", keys) is None
        assert known_class_vectors(db, HashEncoder().id, keys[:1]) is None


def test_duplicate_ids_are_refused_and_the_first_is_kept(tmp_path: Path) -> None:
    change = build(tmp_path / "index", [*oaks(), entry("Cup", "Another cup.")])
    assert change.refused == ("t:Cup: duplicate id; the first one is kept",)
    added = add(tmp_path / "index", [entry("Cup", "Yet another cup."), *oaks()[2:], *trees(1)])
    assert (added.added, added.unchanged, len(added.refused)) == (1, 1, 1)
    assert "--replace" in added.refused[0]
    texts = {each.id: each.passages for each in load_store(tmp_path / "index").entries}
    assert texts["t:Cup"] == ("A cup holds tea.",)
    replaced = add(tmp_path / "index", [entry("Cup", "Yet another cup.")], replace=True)
    assert (replaced.added, replaced.refused) == (1, ())
    texts = {each.id: each.passages for each in load_store(tmp_path / "index").entries}
    assert texts["t:Cup"] == ("Yet another cup.",)


def test_an_entry_whose_vector_is_not_finite_is_refused(tmp_path: Path) -> None:
    change = build(tmp_path / "index", oaks(), CountingEncoder(broken="cup holds"))
    assert change.refused == ("t:Cup: expected finite vectors, got NaN or infinity",)
    assert [each.title for each in load_store(tmp_path / "index").entries] == ["Oak", "Tea"]
    added = add(tmp_path / "index", trees(2), CountingEncoder(broken="Tree 1"))
    assert (added.added, len(added.refused)) == (1, 1)


def test_a_build_of_nothing_leaves_the_index_as_it_is(tmp_path: Path) -> None:
    build(tmp_path / "index", oaks())
    for entries in ([], [entry("Empty")]):
        with pytest.raises(SourceError, match="at least one entry"):
            build(tmp_path / "index", entries)
    assert len(load_store(tmp_path / "index").entries) == 3
    assert add(tmp_path / "index", []).generation == 1


def test_deleted_entries_are_gone_from_the_file(tmp_path: Path) -> None:
    secret = entry("Secret", "The safe opens with xyzzy plugh.")
    build(tmp_path / "index", [*oaks(), secret])
    change = delete(tmp_path / "index", "t:Secret", "t:Nowhere", "t:Secret")
    assert (change.removed, change.refused) == (1, ("t:Nowhere: no such entry",))
    for path in (tmp_path / "index").glob("index.sqlite*"):
        assert b"xyzzy" not in path.read_bytes()
    assert delete(tmp_path / "index", "t:Secret").generation == change.generation


def test_many_deleted_entries_make_the_file_shorter(tmp_path: Path) -> None:
    build(tmp_path / "index", [*oaks(), *trees(400)])
    before = check_index(tmp_path / "index").bytes
    delete(tmp_path / "index", *(each.id for each in trees(400)))
    assert check_index(tmp_path / "index").bytes < before / 3


_HOLD = """
import sys
from pathlib import Path
from retrieval.store.lock import writer_lock
with writer_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_writer_is_refused_with_the_first_ones_process(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    build(folder, oaks())
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        with pytest.raises(OutputError, match=f"process {holder.pid} that writes it"):
            add(folder, trees(1))
        assert len(load_store(folder).entries) == 3  # who reads does not wait
    finally:
        holder.kill()
        holder.communicate()
    add(folder, trees(1))  # the lock went with its process
    with writer_lock(folder), pytest.raises(OutputError, match=f"process {os.getpid()} "):
        delete(folder, "t:Cup")


_FULL = """
import resource, signal, sys
from pathlib import Path
from stream.errors import OutputError
from tests.retrieval.store.samples import CLASSES, add, trees
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
try:
    add(Path(sys.argv[1]), trees(3000))
except OutputError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_a_full_disk_is_told_and_the_index_stays(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    build(folder, oaks())
    wanted = answers(load_store(folder))
    done = subprocess.run(
        [sys.executable, "-c", _FULL, str(folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith("expected to write to"), done.stderr
    assert "free space" in done.stdout
    assert answers(load_store(folder)) == wanted and not check_index(folder).faults
    with index_writer(folder):
        pass
