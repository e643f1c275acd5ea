"""BM25 over passages, in numpy: exact words are what dense vectors miss (names, numbers).

Robertson & Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009, eq. 3.6, with
the non-negative idf log(1 + (N - n + 0.5) / (n + 0.5)). Scores are divided by the query's ceiling
sum(idf) * (k1 + 1), so that they lie in 0..1 and can be mixed with cosines.

SQLite's FTS5 was tried in its place: three times the processor time, b fixed at .75, and no
scores of chosen passages (docs/log.md).
"""

from array import array
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from retrieval.encoders.text import Vectors
from stream.errors import AssetError

K1, B = 1.2, 0.6
Postings = npt.NDArray[np.int32]
Kept = npt.NDArray[np.bool_]


class Bm25:
    """Term postings with their weights computed in advance; a query adds a few arrays."""

    def __init__(
        self,
        words: Sequence[str],
        starts: Postings,
        docs: Postings,
        counts: Postings,
        lengths: Postings,
    ) -> None:
        """Word i is in docs[starts[i]:starts[i + 1]], counts times; use `build` or `load`.

        `lengths` [size] are the documents' numbers of words.
        """
        self._words = list(words)
        self._place = {word: index for index, word in enumerate(words)}
        self._starts, self._docs, self._counts, self._lengths = starts, docs, counts, lengths
        self.size = len(lengths)
        long = lengths.astype(np.float32)
        mean = max(1.0, float(long.mean())) if self.size else 1.0
        often = counts.astype(np.float32)
        norm = K1 * (1 - B + B * long[docs] / mean)
        self._weights = ((K1 + 1) * often / (often + norm)).astype(np.float32)

    @classmethod
    def build(cls, documents: Sequence[Sequence[str]]) -> "Bm25":
        """Index documents given as their search words."""
        lengths = np.array([len(document) for document in documents], np.int32)
        place: dict[str, int] = {}
        terms, docs, counts = array("i"), array("i"), array("i")
        for number, document in enumerate(documents):
            for word, count in Counter(document).items():
                terms.append(place.setdefault(word, len(place)))
                docs.append(number)
                counts.append(count)
        words = sorted(place)
        rank = np.zeros(len(words), np.int32)  # of a word, in the order in which it was met
        rank[[place[word] for word in words]] = np.arange(len(words))
        ranked = rank[np.array(terms, np.int32)] if words else np.zeros(0, np.int32)
        order = np.argsort(ranked, kind="stable")
        starts = _starts(np.bincount(ranked, minlength=len(words)))
        return cls(
            words,
            starts,
            np.array(docs, np.int32)[order],
            np.array(counts, np.int32)[order],
            lengths,
        )

    def kept(self, keep: Kept) -> "Bm25":
        """Only the documents [size] marked, renumbered in their order."""
        if keep.all():
            return self
        number = (np.cumsum(keep) - 1).astype(np.int32)
        stays = keep[self._docs]
        sizes = np.bincount(self._terms()[stays], minlength=len(self._words))
        words = [word for word, size in zip(self._words, sizes.tolist(), strict=True) if size]
        docs = number[self._docs[stays]]
        return Bm25(
            words, _starts(sizes[sizes > 0]), docs, self._counts[stays], self._lengths[keep]
        )

    def joined(self, other: "Bm25") -> "Bm25":
        """These documents, then the other's."""
        words = sorted({*self._words, *other._words})
        place = {word: index for index, word in enumerate(words)}
        parts = [
            np.array([place[word] for word in one._words], np.int64)[one._terms()]
            for one in (self, other)
        ]
        terms = np.concatenate(parts)
        order = np.argsort(terms, kind="stable")
        docs = np.concatenate((self._docs, other._docs + np.int32(self.size)))[order]
        counts = np.concatenate((self._counts, other._counts))[order]
        lengths = np.concatenate((self._lengths, other._lengths))
        return Bm25(words, _starts(np.bincount(terms, minlength=len(words))), docs, counts, lengths)

    def _terms(self) -> npt.NDArray[np.int64]:
        """Word number of each posting."""
        return np.repeat(np.arange(len(self._words)), np.diff(self._starts))

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
        text = np.frombuffer("\n".join(self._words).encode(), np.uint8)
        np.savez(
            path,
            words=text,
            starts=self._starts,
            docs=self._docs,
            counts=self._counts,
            lengths=self._lengths,
        )

    @classmethod
    def load(cls, path: Path) -> "Bm25":
        """Read `save`'s file; raises AssetError when it is missing or damaged."""
        try:
            with np.load(path, allow_pickle=False) as data:
                text = data["words"].tobytes().decode()
                words = text.split("\n") if text else []
                arrays = (data[name] for name in ("starts", "docs", "counts", "lengths"))
                return cls(words, *arrays)
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise AssetError(
                f"expected BM25 postings in {path}: {error}; "
                "build the index again with `foveal index build`"
            ) from error


def _starts(sizes: npt.NDArray[np.int64]) -> Postings:
    return np.concatenate(([0], np.cumsum(sizes))).astype(np.int32)
