"""A page as cells: a vector and a box each, and what they hold; and the score of a page by them.

RegionRAG (2025): a cell's score is the mean of its cosines with the query's vectors, a page's is
the highest of its cells'.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from retrieval.encoders.text import Vectors, unit_rows
from stream.errors import SourceError

Shares = npt.NDArray[np.float32]  # [N, 4] x0, y0, x1, y1 in shares of the page
Bytes = npt.NDArray[np.int8]  # [N, D]


@dataclass(frozen=True, slots=True, eq=False)
class CellGrid:
    """The cells of one page; raises SourceError for parts of unequal length."""

    vectors: Vectors  # [N, D] unit
    boxes: Shares
    shape: tuple[int, int] | None = None  # rows, columns of patches; None where cells are lines
    texts: tuple[str, ...] = ()  # of lines, as many as cells; of patches none

    def __post_init__(self) -> None:
        count = len(self.vectors)
        whole = self.shape is None or self.shape[0] * self.shape[1] == count
        if len(self.boxes) != count or len(self.texts) not in (0, count) or not whole:
            raise SourceError(
                f"expected a box a cell, got {len(self.boxes)} boxes, {len(self.texts)} texts and "
                f"a grid of {self.shape} for {count} cells"
            )


class CellReader(Protocol):
    """Makes the cells of pages, and the vectors of what is asked, in one space."""

    id: str
    dim: int

    def read(self, path: Path, page: int | None) -> CellGrid:
        """Of a page of a PDF, from 1, or of a picture; raises SourceError for what holds none."""

    def query(self, text: str) -> Vectors:
        """[T, D] unit."""


def quantised(vectors: Vectors) -> tuple[Bytes, Vectors]:
    """[N, D] -> int8, and what each row is multiplied by [N]."""
    scales = np.maximum(np.abs(vectors).max(axis=1), 1e-12) / 127
    codes = np.rint(vectors / scales[:, None]).astype(np.int8)
    return codes, scales.astype(np.float32)


def page_vector(cells: CellGrid) -> Vectors:
    """[D] unit: the mean of the cells, by which pages are shortlisted."""
    return np.asarray(unit_rows(cells.vectors.mean(axis=0, keepdims=True))[0], np.float32)


def cell_scores(query: Vectors, codes: Bytes, scales: Vectors) -> Vectors:
    """[T, D] of a query and the stored cells -> [N] mean cosine of each cell."""
    return np.asarray((codes.astype(np.float32) @ query.mean(axis=0)) * scales, np.float32)
