"""Inverted lists in 8 bits for many vectors, and how many lists a query must read.

Jegou et al., "Product Quantization for Nearest Neighbor Search", 2011 (the inverted file). Of
vectors that were held out of the training the ten nearest others are found exactly; then more
lists are read until the index finds as many of them as is wanted.
"""

from collections.abc import Callable, Iterable
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from retrieval.encoders.text import Vectors
from retrieval.store.caches.exact import ExactVectors
from retrieval.store.caches.vectors import FaissIndex

FLAT_ROWS = 200_000  # up to here flat search is fast enough, and exact
HELD_OUT = 500
NEAREST = 10
RECALL = 0.99  # of the ten nearest
LISTS = 4.0  # times the square root of the vectors
TRAINED_ON = 40  # vectors a list
ROUNDS = 8  # of k-means
PROBES = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)

Blocks = Callable[[], Iterable[Vectors]]  # all vectors in their order, read again at each call
_API: Any = faiss


def nearest_index(dim: int, count: int, blocks: Blocks) -> FaissIndex:
    """The index that `count` vectors need, with them in it."""
    if count <= FLAT_ROWS:
        index = FaissIndex(dim)
        for block in blocks():
            index.add(block)
        return index
    return inverted_lists(dim, count, blocks)


def inverted_lists(dim: int, count: int, blocks: Blocks, seed: int = 0) -> FaissIndex:
    """Train, fill and fit; `nprobe` is stored with the index."""
    lists = min(int(LISTS * np.sqrt(count)), count // TRAINED_ON)
    drawn = np.random.default_rng(seed).permutation(count)
    held = np.sort(drawn[: min(HELD_OUT, count // 4)])
    trained = np.sort(drawn[len(held) :][: TRAINED_ON * lists])
    inner = _API.index_factory(dim, f"IVF{lists},SQ8", _API.METRIC_INNER_PRODUCT)
    inner.cp.niter = ROUNDS
    inner.cp.max_points_per_centroid = TRAINED_ON
    inner.train(_chosen(blocks, trained))
    index = FaissIndex(dim, inner=inner, exact=ExactVectors(dim))
    for block in blocks():
        index.add(block)
    queries = _chosen(blocks, held)
    fit_probes(index, inner, queries, held, _exact(blocks, queries, held))
    return index


def fit_probes(
    index: FaissIndex,
    inner: Any,
    queries: Vectors,
    own: npt.NDArray[np.int64],
    truth: npt.NDArray[np.int64],
) -> float:
    """Set the fewest lists that reach the wanted recall, or all; returns the recall."""
    recall = 0.0
    for probes in (*(few for few in PROBES if few < inner.nlist), inner.nlist):
        inner.nprobe = probes
        found = index.search(queries, NEAREST + 1)[1]
        recall = recall_at(_others(found, own), truth)
        if recall >= RECALL:
            break
    return recall


def recall_at(found: npt.NDArray[np.int64], truth: npt.NDArray[np.int64]) -> float:
    """Share of [Q, k] true rows that are among the [Q, k'] found."""
    hits = (found[:, :, None] == truth[:, None, :]).any(axis=1)
    return float(hits.mean())


def _chosen(blocks: Blocks, rows: npt.NDArray[np.int64]) -> Vectors:
    parts, first = [], 0
    for block in blocks():
        low, high = np.searchsorted(rows, (first, first + len(block)))
        parts.append(block[rows[low:high] - first])
        first += len(block)
    return np.ascontiguousarray(np.concatenate(parts), np.float32)


def _exact(blocks: Blocks, queries: Vectors, own: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """[Q, NEAREST] rows nearest to each query, itself left out."""
    scores = np.full((len(queries), 0), -np.inf, np.float32)
    rows = np.zeros((len(queries), 0), np.int64)
    first = 0
    for block in blocks():
        number = np.broadcast_to(np.arange(first, first + len(block)), (len(queries), len(block)))
        scores = np.concatenate((scores, queries @ block.T), axis=1)
        rows = np.concatenate((rows, number), axis=1)
        keep = min(NEAREST + 1, scores.shape[1])
        best = np.argpartition(-scores, keep - 1, axis=1)[:, :keep]
        scores = np.take_along_axis(scores, best, axis=1)
        rows = np.take_along_axis(rows, best, axis=1)
        first += len(block)
    order = np.argsort(-scores, axis=1, kind="stable")
    return _others(np.take_along_axis(rows, order, axis=1), own)


def _others(found: npt.NDArray[np.int64], own: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """[Q, k + 1] rows without the query's own one, else without the last: [Q, k]."""
    same = found == own[:, None]
    same[~same.any(axis=1), -1] = True
    rows: npt.NDArray[np.int64] = found[~same].reshape(len(found), -1)
    return rows
