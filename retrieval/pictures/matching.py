"""Words, a picture or a region to pictures, each with the region of it that matched best.

MaTIR's score: the larger one of the whole picture's cosine and the best region's.
"""

from dataclasses import dataclass
from itertools import chain, zip_longest

import numpy as np

from retrieval.encoders import canary
from retrieval.encoders.joint import JointEncoder
from retrieval.encoders.text import Vectors
from retrieval.pictures.stored import PictureIndex
from retrieval.store.rows import Numbers
from stream.errors import ConfigError, QueryError
from stream.events import Query
from stream.geometry import Box, Rle, decode_mask


@dataclass(frozen=True, slots=True)
class PictureHit:
    """A picture that was found."""

    place: int  # in the index
    name: str
    path: str
    score: float  # cosine, the larger one of the next two
    whole: float  # of the whole picture
    region: float | None  # of its best region; None for a picture without regions
    mask: Rle | None  # of that region
    box: Box | None


class PictureSearcher:
    """Searches one index with the encoder that it was built with."""

    def __init__(self, index: PictureIndex, encoder: JointEncoder) -> None:
        """Raises ConfigError for another encoder, AssetError for one that was edited since."""
        if encoder.id != index.encoder:
            raise ConfigError(
                f"expected the encoder {index.encoder} of the index, got {encoder.id}; choose it, "
                "or build another index"
            )
        canary.check(encoder, index.canaries)
        self.index, self._encoder = index, encoder

    def search(self, query: Query) -> list[PictureHit]:
        """At most `query.k` pictures, best first; ties keep the order of names.

        Raises QueryError for what the encoder refuses.
        """
        whole, regions = self.cosines(self.encode(query))
        best = best_regions(self.index, regions)
        scores = combined(whole, regions, best)
        order = np.argsort(-scores, kind="stable")[: query.k]
        return [self._hit(int(n), whole, regions, int(best[n])) for n in order]

    def candidates(self, query: Query) -> list[PictureHit]:
        """The lists by whole pictures and by best regions, taken in turn.

        What both find is in it twice, which votes for it (Vote-in-Context, 2025).
        """
        whole, regions = self.cosines(self.encode(query))
        best = best_regions(self.index, regions)
        by_region = _picked(regions, best)
        lists = [np.argsort(-scores, kind="stable")[: query.k] for scores in (whole, by_region)]
        taken = chain.from_iterable(zip_longest(*(one.tolist() for one in lists)))
        return [self._hit(n, whole, regions, int(best[n])) for n in taken if n is not None]

    def encode(self, query: Query) -> Vectors:
        """[D] unit: what is asked for."""
        if query.kind == "text":
            return _first(self._encoder.encode_text([query.text]))
        if query.image is None:
            raise QueryError(f"expected an image for a {query.kind} query, got none")
        if query.mask is None:
            return _first(self._encoder.encode_images([query.image]))
        return _first(self._encoder.encode_regions([query.image], [decode_mask(query.mask)]))

    def cosines(self, vector: Vectors) -> tuple[Vectors, Vectors]:
        """[P] of the whole pictures and [R] of all regions."""
        return self.index.pictures @ vector, self.index.regions @ vector

    def _hit(self, place: int, whole: Vectors, regions: Vectors, best: int) -> PictureHit:
        index = self.index
        name, near = index.names[place], float(whole[place])
        path = str(index.root / name)
        if best < 0:
            return PictureHit(place, name, path, near, near, None, None, None)
        region = float(regions[best])
        mask, box = index.mask(best), index.boxes[best]
        return PictureHit(place, name, path, max(near, region), near, region, mask, box)


def best_regions(index: PictureIndex, regions: Vectors) -> Numbers:
    """[P] the region of each picture that is nearest; -1 where it has none."""
    best = np.full(len(index.names), -1, np.int64)
    order = np.argsort(regions, kind="stable")
    best[index.owner[order]] = order  # the last one, the nearest, stays
    return best


def combined(whole: Vectors, regions: Vectors, best: Numbers) -> Vectors:
    """[P] the larger one of both cosines."""
    return np.maximum(whole, _picked(regions, best))


def _picked(regions: Vectors, best: Numbers) -> Vectors:
    return np.append(regions, np.float32(-np.inf))[best]  # -1: the one put last


def _first(vectors: Vectors) -> Vectors:
    return np.asarray(vectors[0], np.float32)
