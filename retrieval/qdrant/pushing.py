"""An index into a Qdrant collection: resumable, and again only what has changed.

A point is a text that has a vector: what an entry is, and each of its passages. An entry's own
point is stored last, with the digest of all that the entry says: where it is there, the whole
entry is, and a push that was interrupted goes on behind it.
"""

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from qdrant_client.http import models

from retrieval.qdrant.collection import Collection
from retrieval.qdrant.place import QdrantConfig
from retrieval.qdrant.search_collection import ENCODER, ENTRY, TIER
from retrieval.store.knowledge import KnowledgeStore
from retrieval.store.rows import entry_digest
from stream.errors import ConfigError

BATCH = 64  # entries
WALKED = 1000  # points
DIGEST, INDEX, OWN = "digest", "index", "own"  # `own`: the point of the entry itself
_SPACE = uuid.UUID("6d3a1c0e-6f0b-5a57-9a0c-6a9f0f1d7c11")  # of our points' ids

Pushed = Callable[[int, int], None]  # entries done, of how many


@dataclass(frozen=True, slots=True)
class PushReport:
    """What a push did, in entries."""

    stored: int
    unchanged: int
    removed: int  # of this index, and no longer in it
    points: int  # sent


def push(
    store: KnowledgeStore, collection: Collection, config: QdrantConfig, progress: Pushed
) -> PushReport:
    """Bring a collection to what an index holds; points of other indexes are left alone.

    Raises ConfigError for a collection of other vectors, QueryError for no answer: run it again.
    """
    _open(store, collection, config)
    stored = points = 0
    total = len(store.entries)
    for start in range(0, total, BATCH):
        numbers = range(start, min(start + BATCH, total))
        changed = _changed(store, collection, numbers)
        if changed:
            points += _store(store, collection, config, changed)
            stored += len(changed)
        progress(numbers.stop, total)
    removed = _remove_old(store, collection)
    return PushReport(stored, total - stored, removed, points)


def _open(store: KnowledgeStore, collection: Collection, config: QdrantConfig) -> None:
    dim = store.entity.index.dim
    sizes = collection.sizes()
    if sizes is None and config.words:
        raise ConfigError("expected the unnamed vector of texts for a new collection; see `words`")
    if sizes is None:
        collection.create(dim, ENTRY, config.date)
    elif sizes.get(config.words) != dim:
        raise ConfigError(
            f"expected vectors of {dim} numbers in {collection}, got {dict(sizes)}; name another"
        )


def _changed(store: KnowledgeStore, collection: Collection, numbers: range) -> list[int]:
    """Entries whose own point is not there, or has another digest."""
    ids = {number: _point_id(store, number, OWN) for number in numbers}
    known = collection.payloads(list(ids.values()), [DIGEST, ENCODER])
    return [
        number
        for number, name in ids.items()
        if known.get(name) != {DIGEST: _digest(store, number), ENCODER: store.encoder_id}
    ]


def _store(
    store: KnowledgeStore, collection: Collection, config: QdrantConfig, numbers: Sequence[int]
) -> int:
    """Passages, without those of an earlier digest, then the entries' own points."""
    parts = [point for number in numbers for point in _passages(store, number, config)]
    for start in range(0, len(parts), BATCH):
        collection.put(parts[start : start + BATCH], _told(parts[start : start + BATCH], config))
    names = [store.entries[number].id for number in numbers]
    digests = [_digest(store, number) for number in numbers]
    old = models.Filter(
        must=[models.FieldCondition(key=ENTRY, match=models.MatchAny(any=names)), _of(store)],
        must_not=[models.FieldCondition(key=DIGEST, match=models.MatchAny(any=digests))],
    )
    collection.delete(old)
    own = [_own(store, number, config) for number in numbers]
    collection.put(own, _told(own, config))
    return len(parts) + len(own)


def _own(store: KnowledgeStore, number: int, config: QdrantConfig) -> models.PointStruct:
    vector = store.entity.vectors(np.array([number]))[0]
    text = store.entries[number].passages[0]
    return _point(store, number, OWN, text, vector.tolist(), config)


def _passages(
    store: KnowledgeStore, number: int, config: QdrantConfig
) -> Iterator[models.PointStruct]:
    first, end = int(store.starts[number]), int(store.starts[number + 1])
    rows = np.arange(first, end)
    rows = rows[store.passage.has(rows)]
    for row, vector in zip(rows.tolist(), store.passage.vectors(rows), strict=True):
        text = store.entries[number].passages[row - first]
        yield _point(store, number, str(row - first), text, vector.tolist(), config)


def _point(
    store: KnowledgeStore,
    number: int,
    part: str,
    text: str,
    vector: list[float],
    config: QdrantConfig,
) -> models.PointStruct:
    entry = store.entries[number]
    payload: dict[str, Any] = {
        config.title: entry.title,
        config.text: text,
        config.source: store.metadata.sources[number],
        config.link: entry.url,
        config.tags: list(entry.tags),
        TIER: entry.tier,
        ENTRY: entry.id,
        ENCODER: store.encoder_id,
        INDEX: store.source,
        DIGEST: _digest(store, number),
        OWN: part == OWN,
    }
    if entry.date:
        payload[config.date] = entry.date
    named: Any = {config.words: vector} if config.words else vector
    return models.PointStruct(id=_point_id(store, number, part), vector=named, payload=payload)


def _point_id(store: KnowledgeStore, number: int, part: str) -> str:
    return str(uuid.uuid5(_SPACE, f"{store.source}\n{store.entries[number].id}\n{part}"))


def _digest(store: KnowledgeStore, number: int) -> str:
    return entry_digest(store.entries[number]).hex()


def _of(store: KnowledgeStore) -> models.FieldCondition:
    return models.FieldCondition(key=INDEX, match=models.MatchValue(value=store.source))


def _told(points: Sequence[models.PointStruct], config: QdrantConfig) -> str:
    return "\n".join(str((point.payload or {})[config.text]) for point in points)


def _remove_old(store: KnowledgeStore, collection: Collection) -> int:
    """Entries of this index that it no longer has."""
    known, gone, after = {entry.id for entry in store.entries}, list[str](), None
    own = models.FieldCondition(key=OWN, match=models.MatchValue(value=True))
    while True:
        rows, after = collection.walk(models.Filter(must=[_of(store), own]), [ENTRY], after, WALKED)
        gone += [str(row[ENTRY]) for row in rows if row.get(ENTRY) not in known]
        if after is None:
            break
    for start in range(0, len(gone), WALKED):
        among = models.MatchAny(any=gone[start : start + WALKED])
        entry = models.FieldCondition(key=ENTRY, match=among)
        collection.delete(models.Filter(must=[_of(store), entry]))
    return len(gone)
