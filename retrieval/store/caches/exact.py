"""Vectors in fp16 in a file, of which a query reads a few; memory holds what was added since."""

import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt

from retrieval.encoders.text import Vectors
from stream.errors import AssetError


class ExactVectors:
    """[N, D] in the order of adding; the pages of its file are the system's to keep or drop."""

    def __init__(self, dim: int, path: Path | None = None) -> None:
        """Read `save`'s file, or begin with none; raises AssetError where it cannot be read."""
        self._dim = dim
        self._open(path)

    def _open(self, path: Path | None) -> None:
        self._path = path
        self._added: list[npt.NDArray[np.float16]] = []
        self._stored: npt.NDArray[np.float16] = np.zeros((0, self._dim), np.float16)
        try:
            if path is not None and (size := path.stat().st_size):
                shape = size // (2 * self._dim), self._dim
                self._stored = np.memmap(path, np.float16, "r", shape=shape)
        except (OSError, ValueError) as error:
            raise AssetError(f"expected vectors in fp16 in {path}: {error}") from error

    def append(self, vectors: Vectors) -> None:
        """[N, D] float32."""
        self._added.append(vectors.astype(np.float16))

    def rows(self, rows: npt.NDArray[np.int64]) -> Vectors:
        """[N] -> [N, D] float32."""
        out = np.zeros((len(rows), self._dim), np.float32)
        old = rows < len(self._stored)
        out[old] = self._stored[rows[old]]
        if not old.all():
            if len(self._added) > 1:
                self._added = [np.concatenate(self._added)]
            out[~old] = self._added[0][rows[~old] - len(self._stored)]
        return out

    def save(self, path: Path) -> None:
        """Write one file of rows without a header; from then on it is read from there."""
        with path.open("wb") as file:
            if self._path is not None:
                with self._path.open("rb") as stored:
                    shutil.copyfileobj(stored, file, 1 << 20)
            for block in self._added:
                file.write(block.tobytes())
        self._open(path)
