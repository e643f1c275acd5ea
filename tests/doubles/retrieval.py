"""Deterministic doubles of the text encoder and the image classifier, for tests without weights."""

import hashlib
from collections.abc import Sequence

import numpy as np

from retrieval.encoders.conse import Posteriors
from retrieval.encoders.text import Progress, Vectors, unit_rows
from retrieval.sources.sentences import search_words
from stream.frame import Image, Mask


class HashEncoder:
    """A bag of hashed words: texts that share words are near, all else is about orthogonal."""

    def __init__(self, dim: int = 128) -> None:
        self.dim = dim
        self.id = f"hash-{dim}"

    def encode_text(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        """[N, dim] float32 of unit norm (zero for a text without words)."""
        vectors = np.zeros((len(texts), self.dim), np.float32)
        for row, text in enumerate(texts):
            for word in search_words(text):
                vectors[row] += self._word(word)
            if progress is not None:
                progress(row + 1, len(texts))
        return unit_rows(vectors)

    def _word(self, word: str) -> Vectors:
        seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "little")
        drawn = np.random.default_rng(seed).standard_normal(self.dim)
        return np.asarray(drawn, dtype=np.float32)


class ColourClassifier:
    """Names the nearest of a few colours to the mean of the pixels under the mask."""

    def __init__(self, colours: dict[str, tuple[int, int, int]]) -> None:
        self.class_names: tuple[str, ...] = tuple(colours)
        self._colours = np.array(list(colours.values()), np.float32)

    def classify(self, images: Sequence[Image], masks: Sequence[Mask | None]) -> Posteriors:
        """[N, C]: soft assignment of the mean colour."""
        rows = []
        for image, mask in zip(images, masks, strict=True):
            pixels = image.reshape(-1, 3) if mask is None else image[mask]
            distance = np.linalg.norm(self._colours - pixels.mean(axis=0), axis=1)
            weight = np.exp(-distance / 10.0)
            rows.append(weight / weight.sum())
        return np.array(rows, np.float32).reshape(-1, len(self.class_names))
