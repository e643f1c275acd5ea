"""An index of the form before index.sqlite: read once, brought over, or refused."""

import json
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest

from retrieval.encoders.conse import class_vectors
from retrieval.sources.entries import Entry, Knowledge
from retrieval.store.caches.derived import file_sha256
from retrieval.store.index_folder import has_index
from retrieval.store.knowledge import build_store, load_store
from retrieval.store.schema import FILE
from stream.errors import AssetError
from tests.doubles.retrieval import HashEncoder
from tests.retrieval.store.samples import CLASSES, add, answers, build, oaks, trees

_FAISS: Any = faiss


def older(folder: Path, entries: tuple[Entry, ...], kind: str = "flat", embedded: int = 3) -> Path:
    """As foveal 0.1 wrote it."""
    folder.mkdir()
    lines = [json.dumps(entry.as_json()) + "\n" for entry in entries]
    (folder / "entries.jsonl").write_text("".join(lines))
    encoder = HashEncoder()
    texts = [entry.entity_text for entry in entries]
    texts += [text for entry in entries for text in entry.passages[:embedded]]
    inner = _FAISS.IndexFlatIP(encoder.dim)
    if kind == "hnsw":
        inner = _FAISS.IndexHNSWFlat(encoder.dim, 32, _FAISS.METRIC_INNER_PRODUCT)
    inner.add(encoder.encode_text(texts))
    _FAISS.write_index(inner, str(folder / "vectors.faiss"))
    np.savez(folder / "words.npz", words=np.zeros(1, np.uint8))
    names = np.array([", ".join(each) for each in CLASSES])
    np.savez(folder / "classes.npz", names=names, vectors=class_vectors(encoder, CLASSES))
    names_of = ("entries.jsonl", "vectors.faiss", "words.npz", "classes.npz")
    manifest = {
        "version": 1,
        "source": "t",
        "source_sha256": "abc",
        "encoder": encoder.id,
        "kind": kind,
        "dim": encoder.dim,
        "entries": len(entries),
        "rows": len(texts),
        "files": {name: file_sha256(folder / name) for name in names_of},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.mark.parametrize("kind", ["flat", "hnsw"])
def test_an_older_index_answers_the_same(tmp_path: Path, kind: str) -> None:
    folder = older(tmp_path / "index", oaks(), kind)
    assert has_index(folder) and not (folder / FILE).exists()
    memory = build_store(Knowledge("t", oaks()), HashEncoder(), CLASSES)
    for _ in range(2):
        store = load_store(folder, HashEncoder().id)
        assert answers(store) == answers(memory)
        assert store.classes == memory.classes and store.class_vectors is not None
    assert (folder / "manifest.json").exists()  # who only reads removes nothing
    add(folder, trees(2))
    assert sorted(path.name for path in folder.iterdir() if path.suffix != ".pid") == [
        "derived",
        FILE,
        "writer.lock",
    ]
    assert len(load_store(folder).entries) == 5


def test_a_build_over_an_older_index_encodes_what_is_new(tmp_path: Path) -> None:
    folder = older(tmp_path / "index", oaks())
    change = build(folder, (*oaks(), *trees(1)))
    assert (change.unchanged, change.added, change.encoded) == (3, 1, 3)


@pytest.mark.parametrize("name", ["entries.jsonl", "vectors.faiss", "words.npz", "classes.npz"])
def test_a_damaged_or_missing_file_is_named(tmp_path: Path, name: str) -> None:
    folder = older(tmp_path / "index", oaks())
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 0xFF
    (folder / name).write_bytes(data)
    with pytest.raises(AssetError, match=f"{name}.*foveal index build"):
        load_store(folder)
    (folder / name).unlink()
    with pytest.raises(AssetError, match=name):
        load_store(folder)
    assert build(folder, trees(2)).added == 2  # a build does without it


@pytest.mark.parametrize(
    "change", [{"version": 99}, {"entries": 7}, {"dim": 4}, {"rows": 1}], ids=str
)
def test_a_manifest_that_does_not_fit_is_refused(tmp_path: Path, change: dict[str, int]) -> None:
    path = older(tmp_path / "index", oaks()) / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(AssetError, match="foveal index build"):
        load_store(path.parent)


@pytest.mark.parametrize("text", ["{", "[]", "{}", "5"])
def test_an_unreadable_manifest_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(AssetError, match="manifest"):
        load_store(tmp_path)
