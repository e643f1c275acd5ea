"""Nearest neighbours by inner product in FAISS: flat in fp16, or inverted lists in 8 bits.

Johnson et al., "Billion-scale similarity search with GPUs", 2017. Flat search is exact and can use
a GPU where a FAISS build with GPU support finds one. Above FLAT_ROWS vectors inverted lists read
only the lists nearest to a query; how many is fitted when they are built (store/inverted.py). What
8 bits find is compared again by the vectors in fp16, which lie in a file (store/exact.py).
HNSW is not here: FAISS cannot delete from it, and it takes 592 bytes a vector.
"""

from pathlib import Path
from typing import Any, Literal

import faiss
import numpy as np
import numpy.typing as npt

from retrieval.encoders.text import Vectors
from retrieval.store.caches.exact import ExactVectors
from stream.errors import AssetError, QueryError

IndexKind = Literal["flat", "ivf"]
Rows = npt.NDArray[np.int64]  # [Q, k]
Allowed = npt.NDArray[np.bool_]  # [size]
MISSING = -1  # row of a hit that is not there
WIDER, LEAST = 3, 40  # rows of lists that are compared again, for one that is wanted
EXACT = ".f16"  # how the file of the vectors themselves ends
EXACT_SHARE = 0.02  # where fewer rows are allowed these are compared one by one

_API: Any = faiss  # its stubs lack many names


class FaissIndex:
    """Unit vectors in FAISS; a row's number is its place in the order of adding.

    Scores are inner products: cosines for unit vectors, to the precision of fp16.
    """

    def __init__(self, dim: int, *, inner: Any = None, exact: ExactVectors | None = None) -> None:
        """`exact` has the same rows as `inner`, by which what lists find is compared again."""
        self.dim = dim
        self._exact = exact
        flat = _API.ScalarQuantizer.QT_fp16, _API.METRIC_INNER_PRODUCT
        self._cpu = _API.IndexScalarQuantizer(dim, *flat) if inner is None else inner
        self._gpu: Any = None

    @property
    def kind(self) -> IndexKind:
        """Flat, or inverted lists."""
        return "ivf" if isinstance(self._cpu, _API.IndexIVF) else "flat"

    @property
    def size(self) -> int:
        """Vectors stored."""
        return int(self._cpu.ntotal)

    def add(self, vectors: Vectors) -> None:
        """Append [N, D] float32; raises QueryError for a wrong shape, NaN or infinity."""
        checked = self._checked(vectors)
        self._cpu.add(checked)
        if self._exact is not None:
            self._exact.append(checked)
        self._gpu = None

    def search(
        self, vectors: Vectors, k: int, allowed: Allowed | None = None
    ) -> tuple[Vectors, Rows]:
        """Scores and rows [Q, k'], k' = min(k, rows allowed), best first.

        Inverted lists may find fewer: such places hold row -1 and score -inf. Raises QueryError
        for k < 1, a wrong shape, NaN or infinity.
        """
        queries = self._checked(vectors)
        if k < 1:
            raise QueryError(f"expected k >= 1 results, got {k}")
        some = self.size if allowed is None else int(np.count_nonzero(allowed))
        count = min(k, some)
        if count == 0 or len(queries) == 0:
            shape = (len(queries), count)
            return np.zeros(shape, np.float32), np.zeros(shape, np.int64)
        wide = count if self._exact is None else min(some, max(LEAST, WIDER * count))
        if allowed is None or some == self.size:
            scores, found = self._device().search(queries, wide)
        elif some < EXACT_SHARE * self.size:
            return self._among(queries, count, np.flatnonzero(allowed).astype(np.int64))
        else:
            params = self._limit(allowed, some / self.size)
            scores, found = self._cpu.search(queries, wide, params=params)
        scores = np.where(found == MISSING, -np.inf, scores)
        if self._exact is not None:
            return self._compared(queries, found.astype(np.int64), count)
        return scores.astype(np.float32), found.astype(np.int64)

    def vectors(self, rows: Rows) -> Vectors:
        """[N] rows -> [N, D] as stored."""
        if rows.size == 0:
            return np.zeros((0, self.dim), np.float32)
        if self._exact is not None:
            return self._exact.rows(rows)
        return np.asarray(self._cpu.reconstruct_batch(rows), np.float32)

    def save(self, path: Path) -> None:
        """Write one FAISS file, and beside that of lists the vectors themselves.

        Raises RuntimeError where that fails, as FAISS does, or OSError.
        """
        _API.write_index(self._cpu, str(path))
        if self._exact is not None:
            self._exact.save(path.with_suffix(EXACT))

    @classmethod
    def load(cls, path: Path) -> "FaissIndex":
        """Read `save`'s file; raises AssetError when it is missing or damaged."""
        try:
            inner = _API.read_index(str(path))
        except RuntimeError as error:
            first = (str(error).splitlines() or [""])[0]
            raise AssetError(
                f"expected a FAISS index in {path}: {first}; "
                "build it again with `foveal index build`"
            ) from error
        dim = int(inner.d)
        listed = isinstance(inner, _API.IndexIVF)
        return cls(
            dim, inner=inner, exact=ExactVectors(dim, path.with_suffix(EXACT)) if listed else None
        )

    def _compared(self, queries: Vectors, found: Rows, count: int) -> tuple[Vectors, Rows]:
        """The best `count` of [Q, k] rows by the vectors themselves."""
        held = self.vectors(np.maximum(found, 0).ravel()).reshape(*found.shape, self.dim)
        scores = np.einsum("qd,qkd->qk", queries, held)
        scores = np.where(found == MISSING, -np.inf, scores)
        best = np.argsort(-scores, axis=1, kind="stable")[:, :count]
        return (
            np.take_along_axis(scores, best, axis=1).astype(np.float32),
            np.take_along_axis(found, best, axis=1),
        )

    def _among(self, queries: Vectors, count: int, rows: Rows) -> tuple[Vectors, Rows]:
        scores = queries @ self.vectors(rows).T
        best = np.argsort(-scores, axis=1, kind="stable")[:, :count]
        return np.take_along_axis(scores, best, axis=1).astype(np.float32), rows[best]

    def _limit(self, allowed: Allowed, share: float) -> Any:
        """Fewer rows of a list are allowed: more lists are read, so that as many are compared."""
        selector = _API.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
        if self.kind == "flat":
            return _API.SearchParameters(sel=selector)
        probes = min(self._cpu.nlist, int(np.ceil(self._cpu.nprobe / share)))
        return _API.SearchParametersIVF(sel=selector, nprobe=probes)

    def _device(self) -> Any:
        gpus = getattr(faiss, "get_num_gpus", int)()
        if self.kind != "flat" or gpus == 0 or not hasattr(faiss, "StandardGpuResources"):
            return self._cpu
        if self._gpu is None:
            config = _API.GpuIndexFlatConfig()
            config.useFloat16 = True
            resources = _API.StandardGpuResources()
            self._gpu = _API.GpuIndexFlatIP(resources, self.dim, config)
            for first in range(0, self.size, 1 << 16):
                last = min(self.size, first + (1 << 16))
                self._gpu.add(self.vectors(np.arange(first, last)))
        return self._gpu

    def _checked(self, vectors: Vectors) -> Vectors:
        if vectors.ndim != 2 or vectors.shape[1] != self.dim:
            raise QueryError(f"expected vectors [N, {self.dim}], got shape {vectors.shape}")
        if not np.isfinite(vectors).all():
            raise QueryError("expected finite vectors, got NaN or infinity")
        return np.ascontiguousarray(vectors, dtype=np.float32)
