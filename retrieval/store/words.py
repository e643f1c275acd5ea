"""BM25 over passages, in numpy: exact words are what dense vectors miss (names, numbers).

Robertson & Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009, eq. 3.6, with
the non-negative idf log(1 + (N - n + 0.5) / (n + 0.5)). Scores are divided by the query's ceiling
sum(idf) * (k1 + 1), so that they lie in 0..1 and can be mixed with cosines.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from retrieval.encoders.text import Vectors
from stream.errors import AssetError

K1, B = 1.2, 0.6
Postings = npt.NDArray[np.int32]


class Bm25:
    """Term postings with their weights computed in advance; a query adds a few arrays."""

    def __init__(
        self, words: Sequence[str], starts: Postings, docs: Postings, weights: Vectors, size: int
    ) -> None:
        """Postings of word i are docs[starts[i]:starts[i + 1]]; use `build` or `load`."""
        self._place = {word: index for index, word in enumerate(words)}
        self._starts, self._docs, self._weights = starts, docs, weights
        self.size = size

    @classmethod
    def build(cls, documents: Sequence[Sequence[str]]) -> "Bm25":
        """Index documents given as their search words."""
        lengths = np.array([len(document) for document in documents], np.float32)
        mean = max(1.0, float(lengths.mean())) if len(documents) else 1.0
        postings: dict[str, list[tuple[int, int]]] = {}
        for number, document in enumerate(documents):
            for word, count in Counter(document).items():
                postings.setdefault(word, []).append((number, count))
        words = sorted(postings)
        sizes = [len(postings[word]) for word in words]
        starts = np.concatenate(([0], np.cumsum(sizes))).astype(np.int32)
        flat = np.array([pair for word in words for pair in postings[word]], np.int32)
        docs, counts = flat.reshape(-1, 2)[:, 0], flat.reshape(-1, 2)[:, 1].astype(np.float32)
        norm = K1 * (1 - B + B * lengths[docs] / mean)
        weights = (K1 + 1) * counts / (counts + norm)
        return cls(words, starts, docs, weights.astype(np.float32), len(documents))

    def idf(self, word: str) -> float:
        """Inverse document frequency; the largest for a word never seen."""
        place = self._place.get(word)
        seen = 0 if place is None else int(self._starts[place + 1] - self._starts[place])
        return float(np.log(1 + (self.size - seen + 0.5) / (seen + 0.5)))

    def scores(self, query: Sequence[str]) -> Vectors:
        """[size] float32 in 0..1 for the words of a query; all zero when none is known."""
        total = np.zeros(self.size, np.float32)
        ceiling = 0.0
        for word in sorted(set(query)):
            idf = self.idf(word)
            ceiling += idf * (K1 + 1)
            place = self._place.get(word)
            if place is not None:
                span = slice(self._starts[place], self._starts[place + 1])
                total[self._docs[span]] += np.float32(idf) * self._weights[span]
        return total / np.float32(ceiling) if ceiling else total

    def save(self, path: Path) -> None:
        """Write one .npz (no pickles)."""
        text = np.frombuffer("\n".join(self._place).encode(), np.uint8)
        np.savez(
            path,
            words=text,
            starts=self._starts,
            docs=self._docs,
            weights=self._weights,
            size=np.int64(self.size),
        )

    @classmethod
    def load(cls, path: Path) -> "Bm25":
        """Read `save`'s file; raises AssetError when it is missing or damaged."""
        try:
            with np.load(path, allow_pickle=False) as data:
                words = data["words"].tobytes().decode().split("\n")
                return cls(words, data["starts"], data["docs"], data["weights"], int(data["size"]))
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise AssetError(
                f"expected BM25 postings in {path}: {error}; "
                "build the index again with `foveal index build`"
            ) from error
