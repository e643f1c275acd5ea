"""Nearest neighbours by inner product: FAISS, flat (exact) or HNSW (graph).

Johnson et al., "Billion-scale similarity search with GPUs", 2017; Malkov & Yashunin, HNSW, 2016.
A FAISS build with GPU support is used for flat search when a device is there.
"""

from pathlib import Path
from typing import Any, Literal

import faiss
import numpy as np
import numpy.typing as npt

from retrieval.encoders.text import Vectors
from stream.errors import AssetError, QueryError

IndexKind = Literal["flat", "hnsw"]
Rows = npt.NDArray[np.int64]  # [Q, k]
HNSW_LINKS = 32
HNSW_BUILD_BEAM = 120
HNSW_SEARCH_BEAM = 96
MISSING = -1  # row of a hit that is not there (k larger than the index)


class FaissIndex:
    """Unit vectors in FAISS; a row's number is its place in the order of adding.

    Scores are inner products: cosines for unit vectors.
    """

    def __init__(self, dim: int, kind: IndexKind = "flat", *, inner: Any = None) -> None:
        self.dim = dim
        self.kind = kind
        self._cpu = _make(dim, kind) if inner is None else inner
        self._gpu: Any = None

    @property
    def size(self) -> int:
        """Vectors stored."""
        return int(self._cpu.ntotal)

    def add(self, vectors: Vectors) -> None:
        """Append [N, D] float32; raises QueryError for a wrong shape, NaN or infinity."""
        self._cpu.add(self._checked(vectors))
        self._gpu = None

    def search(
        self, vectors: Vectors, k: int, rows: tuple[int, int] | None = None
    ) -> tuple[Vectors, Rows]:
        """Scores and rows [Q, k'], k' = min(k, rows searched), best first.

        HNSW may find fewer: such places hold row -1 and score -inf. Raises QueryError for k < 1,
        a wrong shape, NaN or infinity.
        """
        queries = self._checked(vectors)
        if k < 1:
            raise QueryError(f"expected k >= 1 results, got {k}")
        first, last = rows if rows is not None else (0, self.size)
        count = min(k, max(0, min(last, self.size) - max(0, first)))
        if count == 0 or len(queries) == 0:
            shape = (len(queries), count)
            return np.zeros(shape, np.float32), np.zeros(shape, np.int64)
        if rows is None:
            scores, found = self._device().search(queries, count)
        else:
            scores, found = self._cpu.search(queries, count, params=self._limit(first, last))
        scores = np.where(found == MISSING, -np.inf, scores)
        return scores.astype(np.float32), found.astype(np.int64)

    def vectors(self, rows: Rows) -> Vectors:
        """[N] rows -> [N, D] as stored."""
        if rows.size == 0:
            return np.zeros((0, self.dim), np.float32)
        return np.asarray(self._cpu.reconstruct_batch(rows), np.float32)

    def save(self, path: Path) -> None:
        """Write one FAISS file."""
        path.write_bytes(faiss.serialize_index(self._cpu).tobytes())

    @classmethod
    def load(cls, path: Path) -> "FaissIndex":
        """Read `save`'s file; raises AssetError when it is missing or damaged."""
        try:
            inner = faiss.deserialize_index(np.frombuffer(path.read_bytes(), np.uint8))
        except (OSError, RuntimeError) as error:
            raise AssetError(
                f"expected a FAISS index in {path}: {_first_line(error)}; "
                "build it again with `foveal index build`"
            ) from error
        kind: IndexKind = "hnsw" if isinstance(inner, faiss.IndexHNSW) else "flat"
        return cls(int(inner.d), kind, inner=inner)

    def _limit(self, first: int, last: int) -> Any:
        api: Any = faiss  # its stubs lack these names
        selector = api.IDSelectorRange(first, last)
        if self.kind == "hnsw":
            return api.SearchParametersHNSW(sel=selector, efSearch=HNSW_SEARCH_BEAM)
        return api.SearchParameters(sel=selector)

    def _device(self) -> Any:
        gpus = getattr(faiss, "get_num_gpus", int)()
        if self.kind != "flat" or gpus == 0 or not hasattr(faiss, "StandardGpuResources"):
            return self._cpu
        if self._gpu is None:
            self._gpu = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, self._cpu)
        return self._gpu

    def _checked(self, vectors: Vectors) -> Vectors:
        if vectors.ndim != 2 or vectors.shape[1] != self.dim:
            raise QueryError(f"expected vectors [N, {self.dim}], got shape {vectors.shape}")
        if not np.isfinite(vectors).all():
            raise QueryError("expected finite vectors, got NaN or infinity")
        return np.ascontiguousarray(vectors, dtype=np.float32)


def _make(dim: int, kind: IndexKind) -> Any:
    if kind == "flat":
        return faiss.IndexFlatIP(dim)
    if kind != "hnsw":
        raise QueryError(f"expected an index kind of flat or hnsw, got {kind!r}")
    index = faiss.IndexHNSWFlat(dim, HNSW_LINKS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = HNSW_BUILD_BEAM
    index.hnsw.efSearch = HNSW_SEARCH_BEAM
    return index


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
