"""Vectors of numbered things (entries, passages), some of which were deleted since."""

import numpy as np
import numpy.typing as npt

from retrieval.encoders.text import Vectors
from retrieval.store.caches.vectors import MISSING, Allowed, FaissIndex, Rows


class VectorSpace:
    """A FAISS index whose rows stand for things 0..count-1, or for nothing any more.

    A row that stands for nothing is passed over by FAISS's own selector: a deleted thing costs
    its memory until the index is made again, and is never found.
    """

    def __init__(self, index: FaissIndex, numbers: Rows, count: int) -> None:
        """`numbers` [rows]: the thing that each row stands for, or -1."""
        self.index = index
        self._numbers = numbers.astype(np.int32)
        self._rows = np.full(count, MISSING, np.int32)
        alive = np.flatnonzero(numbers >= 0)
        self._rows[numbers[alive]] = alive
        self._alive: Allowed | None = None if len(alive) == len(numbers) else numbers >= 0

    @property
    def size(self) -> int:
        """Things that have a vector."""
        return int(np.count_nonzero(self._rows >= 0))

    @property
    def nbytes(self) -> int:
        """Bytes of the numbering, beside the index's own."""
        return int(self._numbers.nbytes + self._rows.nbytes)

    def search(
        self, vectors: Vectors, k: int, allowed: Allowed | None = None
    ) -> tuple[Vectors, Rows]:
        """Scores and numbers of things [Q, k'], best first, k' <= k; see FaissIndex.search.

        `allowed` [count] says which may be found.
        """
        rows = self._alive
        if allowed is not None:
            rows = (self._numbers >= 0) & allowed[self._numbers]
        scores, found = self.index.search(vectors, k, rows)
        if not self._numbers.size:
            return scores, found
        numbers = np.where(found == MISSING, MISSING, self._numbers[found])
        return scores, numbers.astype(np.int64)

    def has(self, numbers: npt.NDArray[np.int64]) -> Allowed:
        """[N] numbers of things -> whether each has a vector."""
        return self._rows[numbers] >= 0

    def vectors(self, numbers: npt.NDArray[np.int64]) -> Vectors:
        """[N] numbers of things that have a vector -> [N, D] as stored."""
        return self.index.vectors(self._rows[numbers].astype(np.int64))
