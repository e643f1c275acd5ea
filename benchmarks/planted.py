"""What an attacker plants: entries beside those of an index, and vectors that are near to pictures.

The index is not encoded again: the vectors that it holds are looked up by their texts.
"""

import dataclasses
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from retrieval.defence.hubs import NEAREST, REFUSED
from retrieval.encoders.conse import ConseProjector, Posteriors
from retrieval.encoders.text import Progress, TextEncoder, Vectors, unit_rows
from retrieval.encoders.visual import NAME_WEIGHT
from retrieval.search import KnowledgeSearcher
from retrieval.sources.entries import Entry, Knowledge
from retrieval.store.knowledge import KnowledgeStore, build_store
from stream.frame import Image

CLIMBS = 1500  # steps of the white-box attack
CLUSTERS = 12  # from which it sets out


class KnownVectors:
    """A `TextEncoder` that knows the texts of an index by heart."""

    def __init__(self, store: KnowledgeStore, encoder: TextEncoder) -> None:
        self.store, self.encoder = store, encoder
        self.id, self.dim = encoder.id, encoder.dim
        passages = [passage for entry in store.entries for passage in entry.passages]
        texts = [entry.entity_text for entry in store.entries]
        kept = np.flatnonzero(store.passage.has(np.arange(len(passages))))
        texts += [passages[number] for number in kept]
        own = store.entity.vectors(np.arange(len(store.entries)))
        self._vectors = np.concatenate((own, store.passage.vectors(kept)))
        self._rows = {text: row for row, text in enumerate(texts)}
        self.planted: dict[str, Vectors] = {}  # the vector that an attacker gives a text

    def encode_text(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        """[N, D] as stored, planted or encoded."""
        out = np.zeros((len(texts), self.dim), np.float32)
        others = []
        for place, text in enumerate(texts):
            if text in self.planted:
                out[place] = self.planted[text]
            elif text in self._rows:
                out[place] = self._vectors[self._rows[text]]
            else:
                others.append(place)
        if others:
            out[others] = self.encoder.encode_text([texts[place] for place in others], progress)
        return out

    def with_tiers(self, unvetted: Collection[str]) -> KnowledgeStore:
        """The same index with some of its entries unvetted."""
        entries = tuple(
            dataclasses.replace(one, tier="unvetted") if one.id in unvetted else one
            for one in self.store.entries
        )
        return dataclasses.replace(self.store, entries=entries)


@dataclass(frozen=True, slots=True, eq=False)
class Planted:
    """An entry, and its vector [D] where it is not made of its words."""

    entry: Entry
    vector: Vectors | None = None


def planted_store(known: KnownVectors, planted: Sequence[Planted]) -> KnowledgeStore:
    """The index with the planted entries behind its own."""
    known.planted = {one.entry.entity_text: one.vector for one in planted if one.vector is not None}
    entries = (*known.store.entries, *(one.entry for one in planted))
    store = build_store(Knowledge(known.store.source, entries), known)
    return dataclasses.replace(
        store, classes=known.store.classes, class_vectors=known.store.class_vectors
    )


def photographs(data: Path, step: int) -> tuple[list[Image], list[Image]]:
    """The attacker's, and those that are asked about."""
    theirs = sorted((data / "coco128-seg" / "images").rglob("*.jpg"))
    theirs += sorted((data / "coco-mini" / "train2017").glob("*.jpg"))
    asked = sorted((data / "coco-mini" / "val2017").glob("*.jpg"))
    asked += sorted((data / "imagenet-samples").glob("*.jpg"))[:: 5 * step]
    return [_read(path) for path in theirs[::2]], [_read(path) for path in asked]


def mean_hub(searcher: KnowledgeSearcher, posteriors: Posteriors) -> Vectors:
    """[D]: the middle of the attacker's photographs."""
    return _unit(_vectors(searcher, posteriors).mean(axis=0))


def climbed_hub(searcher: KnowledgeSearcher, posteriors: Posteriors) -> Vectors:
    """[D]: wins the attacker's photographs under the defended score, and stays below quarantine.

    Random steps uphill from the middles of groups of photographs; everything is known to it.
    """
    guard = searcher.hubs
    assert guard is not None
    queries = _vectors(searcher, posteriors)
    best = np.array([searcher.search_posteriors(row[None], 1)[0].score for row in posteriors])
    last = searcher.store.entity.search(guard.bank, NEAREST)[0][:, -1]

    def worth(vector: Vectors) -> float:
        share = float((guard.bank @ vector > last).mean())
        if share > REFUSED:
            return -share
        scores = (1 - NAME_WEIGHT) * guard.scaled(queries @ vector, vector[None])
        return float((1 / (1 + np.exp(-(scores - best) / 0.02))).mean())

    rng = np.random.default_rng(0)
    starts = [queries.mean(axis=0)]
    starts += [
        queries[rng.choice(len(queries), 8, replace=False)].mean(axis=0) for _ in range(CLUSTERS)
    ]
    climbed = [_climb(start, queries, worth, rng) for start in starts]
    return max(climbed, key=worth)


def _climb(
    start: Vectors, queries: Vectors, worth: Callable[[Vectors], float], rng: np.random.Generator
) -> Vectors:
    """The best of many small steps, each towards or away from one photograph."""
    vector = _unit(start)
    value = worth(vector)
    for _ in range(CLIMBS // (CLUSTERS + 1)):
        step = queries[rng.integers(len(queries))] * rng.normal(0, 0.2)
        tried = _unit(vector + step)
        found = worth(tried)
        if found > value:
            vector, value = tried, found
    return vector


def _unit(vector: Vectors) -> Vectors:
    return np.asarray(unit_rows(vector[None].astype(np.float32))[0], np.float32)


def _vectors(searcher: KnowledgeSearcher, posteriors: Posteriors) -> Vectors:
    return ConseProjector(searcher.class_vectors).project(posteriors)


def _read(path: Path) -> Image:
    return np.asarray(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB), np.uint8)
