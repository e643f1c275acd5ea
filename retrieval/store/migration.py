"""An index of the form before index.sqlite (manifest.json and files beside it), brought over once.

Its files are read only; the next build removes them.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from retrieval.encoders.text import Progress, Vectors
from retrieval.sources.entries import Entry, Knowledge
from retrieval.store.caches.derived import file_sha256
from retrieval.store.changes import replace_entries
from retrieval.store.lock import writer_lock
from retrieval.store.schema import FILE, REBUILD, create_database, generation, reading
from stream.errors import AssetError, OutputError

MANIFEST = "manifest.json"
FILES = ("entries.jsonl", "vectors.faiss", "words.npz", "classes.npz")
VERSION = 1
PATIENCE_S = 120.0  # while another process brings the same index over

_API: Any = faiss


def migrate(folder: Path) -> None:
    """Bring an older index over where there is one; raises AssetError where that cannot be done.

    Vectors are kept as they are, in fp16.
    """
    if not (folder / MANIFEST).is_file() or _done(folder):
        return
    manifest = read_manifest(folder)
    for name, digest in manifest["files"].items():
        _check_file(folder / name, digest)
    try:
        with writer_lock(folder, PATIENCE_S):
            if not _done(folder):
                _bring_over(folder, manifest)
    except OutputError as error:
        raise AssetError(
            f"expected to bring the older index in {folder} into its new form once: {error}; "
            "copy the folder to where it can be written, or build another with "
            "`foveal index build --out`"
        ) from error


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of an older index; raises AssetError when it is damaged or of no such form."""
    path = folder / MANIFEST
    keys = {"version", "source", "encoder", "dim", "entries", "rows", "files"}
    try:
        manifest = dict(json.loads(path.read_text(encoding="utf-8")))
        missing = keys - set(manifest)
    except (OSError, ValueError, TypeError) as error:
        raise AssetError(f"expected a JSON manifest in {path}: {error}; {REBUILD}") from error
    if missing or manifest["version"] != VERSION:
        raise AssetError(
            f"expected manifest version {VERSION} in {path}, got {manifest.get('version')} "
            f"without {sorted(missing)}; {REBUILD}"
        )
    return manifest


class _Stored:
    """A `TextEncoder` that knows the older index's vectors by their texts."""

    def __init__(self, encoder_id: str, vectors: Vectors, texts: list[str]) -> None:
        self.id, self.dim = encoder_id, vectors.shape[1]
        self._vectors = vectors
        self._row = {text: row for row, text in enumerate(texts)}

    def encode_text(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        """[N, D] as they were stored."""
        return self._vectors[[self._row[text] for text in texts]]


def _bring_over(folder: Path, manifest: dict[str, Any]) -> None:
    lines = (folder / "entries.jsonl").read_text(encoding="utf-8").splitlines()
    entries = tuple(Entry.from_json(json.loads(line)) for line in lines)
    embedded = int(manifest.get("embedded", 3))  # before it was told
    texts = list(_older_rows(entries, embedded))
    vectors = _read_vectors(folder / "vectors.faiss")
    got = (len(entries), *vectors.shape)
    wanted = (manifest["entries"], manifest["rows"], manifest["dim"])
    if got != wanted or len(texts) != len(vectors):
        raise AssetError(
            f"expected (entries, rows, dim) {wanted} in {folder}, got {got}; {REBUILD}"
        )
    names, classes = _read_classes(folder / "classes.npz")
    with closing(create_database(folder / FILE)) as db:
        replace_entries(
            db,
            Knowledge(manifest["source"], entries),
            _Stored(manifest["encoder"], vectors, texts),
            names,
            classes,
            embedded,
            manifest.get("source_sha256", ""),
        )


def _older_rows(entries: tuple[Entry, ...], embedded: int) -> Iterator[str]:
    """Texts in the order of the older index: all entries, then passages."""
    yield from (entry.entity_text for entry in entries)
    for entry in entries:
        yield from entry.passages[:embedded]


def _read_vectors(path: Path) -> Vectors:
    try:
        inner = _API.read_index(str(path))
        return np.asarray(inner.reconstruct_n(0, inner.ntotal), np.float32)
    except RuntimeError as error:
        raise AssetError(f"expected a FAISS index in {path}: {error}; {REBUILD}") from error


def _read_classes(path: Path) -> tuple[tuple[str, ...], Vectors | None]:
    if not path.is_file():
        return (), None
    with np.load(path, allow_pickle=False) as data:
        return tuple(str(name) for name in data["names"]), np.asarray(data["vectors"], np.float32)


def _check_file(path: Path, digest: str) -> None:
    if not path.is_file():
        raise AssetError(f"expected {path.name} in the index {path.parent}, found none; {REBUILD}")
    got = file_sha256(path)
    if got != digest:
        raise AssetError(
            f"expected {path} with sha256 {digest[:12]}…, got {got[:12]}…: "
            f"the file is damaged; {REBUILD}"
        )


def _done(folder: Path) -> bool:
    """Whether a first build has ended here."""
    if not (folder / FILE).is_file():
        return False
    with reading(folder / FILE) as db:
        return generation(db) > 0
