"""The knowledge index on disk and in memory: entries, vectors, words, and a manifest.

A folder holds manifest.json, entries.jsonl, vectors.faiss, words.npz and, when class names were
given, classes.npz. Rows 0..E-1 of the FAISS index are entity vectors (title and what it is), the
rest are passage vectors, so text, image and region queries search one index.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval.encoders.conse import class_vectors
from retrieval.encoders.text import Progress, TextEncoder, Vectors
from retrieval.sources.entries import Entry, Knowledge
from retrieval.sources.sentences import search_words
from retrieval.store.vectors import FaissIndex, IndexKind
from retrieval.store.words import Bm25
from stream.errors import AssetError, OutputError
from stream.writing import writing

VERSION = 1
EMBEDDED_PASSAGES = 3  # per entry unless told; later ones are found by their words only
MANIFEST = "manifest.json"
FILES = ("entries.jsonl", "vectors.faiss", "words.npz", "classes.npz")
OWN = {*FILES, MANIFEST, ".DS_Store"}  # what may lie in an index's folder
REBUILD = "build it again with `foveal index build`"

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class KnowledgeStore:
    """Everything a searcher needs, loaded.

    Passages are numbered through all entries: those of entry e are starts[e]..starts[e + 1] - 1.
    """

    source: str
    encoder_id: str
    entries: tuple[Entry, ...]
    starts: Numbers  # [E + 1] first passage number of each entry
    index: FaissIndex  # entity rows, then passage rows
    row_passage: Numbers  # [rows - E] passage number of each passage row
    words: Bm25  # one document per passage, title words included
    classes: tuple[str, ...] = ()  # names of each class whose vector was stored, joined
    class_vectors: Vectors | None = None  # [C, D]
    embedded: int = EMBEDDED_PASSAGES  # passages of an entry that have a vector, at most

    @property
    def passage_entry(self) -> Numbers:
        """[P] entry number of each passage."""
        return np.repeat(np.arange(len(self.entries)), np.diff(self.starts))


def build_store(
    knowledge: Knowledge,
    encoder: TextEncoder,
    classes: Sequence[Sequence[str]] = (),
    kind: IndexKind = "flat",
    progress: Progress | None = None,
    embedded: int = EMBEDDED_PASSAGES,
) -> KnowledgeStore:
    """Encode and index a knowledge base; the slow part reports (texts done, texts in all).

    `classes` are an image classifier's names, whose vectors are kept for its queries. `embedded`
    is how many of an entry's passages get a vector.
    """
    entries = knowledge.entries
    starts = _starts(entries)
    row_passage = _embedded(starts, embedded)
    passages = [passage for entry in entries for passage in entry.passages]
    texts = [entry.entity_text for entry in entries]
    texts += [passages[number] for number in row_passage]
    index = FaissIndex(encoder.dim, kind)
    index.add(encoder.encode_text(texts, progress))
    words = Bm25.build([search_words(f"{e.title} {text}") for e in entries for text in e.passages])
    return KnowledgeStore(
        knowledge.source,
        encoder.id,
        entries,
        starts,
        index,
        row_passage,
        words,
        class_keys(classes),
        class_vectors(encoder, classes) if classes else None,
        embedded,
    )


def class_keys(classes: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """One string per class, to tell whether stored vectors are of the same classes."""
    return tuple(", ".join(names) for names in classes)


def check_target(folder: Path) -> None:
    """Raises OutputError where no index can be written, or it would replace what is no index."""
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder.parent).close()
    if not folder.exists():
        return
    others = [folder] if folder.is_file() else sorted(folder.iterdir())
    strange = [path.name for path in others if path.name not in OWN]
    if strange:
        raise OutputError(
            f"expected a new folder for the index or an older index, got {folder} with "
            f"{strange[0]} in it, which would be lost; choose another --out"
        )


def save_store(store: KnowledgeStore, folder: Path, source_sha256: str = "") -> None:
    """Write the folder; it appears whole or not at all, replacing an older index.

    Raises OutputError where it cannot be written, or holds what is no index.
    """
    check_target(folder)
    with writing(folder, RuntimeError):  # FAISS's own
        staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        _save_store(store, folder, staging, source_sha256)


def _save_store(store: KnowledgeStore, folder: Path, staging: Path, source_sha256: str) -> None:
    try:
        _write_files(store, staging)
        manifest = _manifest(store, source_sha256)
        manifest["files"] = {
            name: file_sha256(staging / name) for name in FILES if (staging / name).exists()
        }
        text = json.dumps(manifest, indent=2) + "\n"
        (staging / MANIFEST).write_text(text, encoding="utf-8")
        staging.chmod(0o755)
        _swap(staging, folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def load_store(folder: Path, encoder_id: str | None = None) -> KnowledgeStore:
    """Read a folder; raises AssetError for a missing, damaged or foreign index.

    `encoder_id`, where given, must be the encoder the index was built with.
    """
    manifest = read_manifest(folder)
    if encoder_id is not None and manifest["encoder"] != encoder_id:
        raise AssetError(
            f"expected an index built with encoder {encoder_id} in {folder}, "
            f"got {manifest['encoder']}; {REBUILD}"
        )
    for name, digest in manifest["files"].items():
        _check_file(folder / name, digest)
    lines = (folder / "entries.jsonl").read_text(encoding="utf-8").splitlines()
    entries = tuple(Entry.from_json(json.loads(line)) for line in lines)
    index = FaissIndex.load(folder / "vectors.faiss")
    starts = _starts(entries)
    embedded = manifest.get("embedded", EMBEDDED_PASSAGES)
    row_passage = _embedded(starts, embedded)
    got = (len(entries), index.size, index.dim)
    wanted = (manifest["entries"], manifest["rows"], manifest["dim"])
    if got != wanted or index.size != len(entries) + len(row_passage):
        raise AssetError(
            f"expected (entries, rows, dim) {wanted} in {folder}, got {got}; {REBUILD}"
        )
    classes, vectors = _load_classes(folder / "classes.npz")
    words = Bm25.load(folder / "words.npz")
    return KnowledgeStore(
        manifest["source"],
        manifest["encoder"],
        entries,
        starts,
        index,
        row_passage,
        words,
        classes,
        vectors,
        embedded,
    )


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of an index; raises AssetError when it is missing, damaged or too new."""
    path = folder / MANIFEST
    if not path.is_file():
        raise AssetError(f"expected an index in {folder}, found none; {REBUILD}")
    try:
        manifest = dict(json.loads(path.read_text(encoding="utf-8")))
        keys = {"version", "source", "encoder", "dim", "entries", "rows", "files"}
        missing = keys - set(manifest)
    except (OSError, ValueError, TypeError) as error:
        raise AssetError(f"expected a JSON manifest in {path}: {error}; {REBUILD}") from error
    if missing or manifest["version"] != VERSION:
        raise AssetError(
            f"expected manifest version {VERSION} in {path}, got {manifest.get('version')} "
            f"without {sorted(missing)}; {REBUILD}"
        )
    return manifest


def file_sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _starts(entries: Sequence[Entry]) -> Numbers:
    return np.concatenate(([0], np.cumsum([len(e.passages) for e in entries]))).astype(np.int64)


def _embedded(starts: Numbers, count: int) -> Numbers:
    """Passage numbers that have a vector: the first few of each entry."""
    order = np.arange(starts[-1]) - np.repeat(starts[:-1], np.diff(starts))
    return np.flatnonzero(order < count).astype(np.int64)


def _manifest(store: KnowledgeStore, source_sha256: str) -> dict[str, Any]:
    return {
        "version": VERSION,
        "source": store.source,
        "source_sha256": source_sha256,
        "encoder": store.encoder_id,
        "kind": store.index.kind,
        "dim": store.index.dim,
        "entries": len(store.entries),
        "passages": int(store.starts[-1]),
        "rows": store.index.size,
        "embedded": store.embedded,
        "licenses": sorted({entry.license for entry in store.entries if entry.license}),
    }


def _write_files(store: KnowledgeStore, folder: Path) -> None:
    lines = [json.dumps(entry.as_json(), ensure_ascii=True) + "\n" for entry in store.entries]
    (folder / "entries.jsonl").write_text("".join(lines), encoding="utf-8")
    store.index.save(folder / "vectors.faiss")
    store.words.save(folder / "words.npz")
    if store.class_vectors is not None:
        names = np.array(store.classes, dtype=np.str_)
        np.savez(folder / "classes.npz", names=names, vectors=store.class_vectors)


def _swap(staging: Path, folder: Path) -> None:
    """Put `staging` in the place of `folder`; a reader never sees a half-written index."""
    if folder.exists():
        old = Path(tempfile.mkdtemp(prefix=f".{folder.name}-old-", dir=folder.parent))
        folder.replace(old / "index")
        staging.replace(folder)
        shutil.rmtree(old, ignore_errors=True)
    else:
        staging.replace(folder)


def _check_file(path: Path, digest: str) -> None:
    if not path.is_file():
        raise AssetError(f"expected {path.name} in the index {path.parent}, found none; {REBUILD}")
    got = file_sha256(path)
    if got != digest:
        raise AssetError(
            f"expected {path} with sha256 {digest[:12]}…, got {got[:12]}…: "
            f"the file is damaged; {REBUILD}"
        )


def _load_classes(path: Path) -> tuple[tuple[str, ...], Vectors | None]:
    if not path.is_file():
        return (), None
    with np.load(path, allow_pickle=False) as data:
        return tuple(str(name) for name in data["names"]), np.asarray(data["vectors"], np.float32)
