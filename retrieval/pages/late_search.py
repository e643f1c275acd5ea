"""Pages by words, in two stages: pages by one vector each, the likely ones by all their cells."""

from dataclasses import dataclass

import numpy as np

from retrieval.encoders.text import Vectors
from retrieval.pages.cells import CellReader, cell_scores
from retrieval.pages.page_regions import PageRegion, find_regions
from retrieval.pages.stored import PageIndex, StoredPage
from stream.errors import ConfigError, QueryError
from stream.events import Evidence, Query, Tier

SHORTLIST = 64  # pages whose cells are read
MAX_REGIONS = 3  # of a page, quoted as evidence


@dataclass(frozen=True, slots=True)
class PageHit:
    """A page that was found, with the parts of it that answer."""

    name: str  # PATH, of a PDF PATH#page=N
    reference: str  # the same as a path that can be opened
    score: float  # of its best cell
    regions: tuple[PageRegion, ...]  # best first
    texts: tuple[str, ...]  # of the regions; empty where cells are patches


class PageSearcher:
    """`Searcher` over an index of pages."""

    def __init__(self, index: PageIndex, reader: CellReader, tier: Tier = "own") -> None:
        """Raises ConfigError for another reader than the index was built with."""
        if reader.id != index.reader:
            raise ConfigError(
                f"expected cells by {index.reader} as in the index, got {reader.id}; choose it, or "
                "build another index"
            )
        self.index, self._reader, self._tier = index, reader, tier

    def search(self, query: Query) -> list[Evidence]:
        """Pages as evidence: what their regions say. Raises QueryError for pictures."""
        if not query.filter.admits(str(self.index.folder), self._tier):
            return []
        return [self._evidence(hit) for hit in self.find(query) if hit.texts]

    def find(self, query: Query) -> list[PageHit]:
        """At most `query.k` pages, best first; raises QueryError for pictures."""
        if query.kind != "text":
            raise QueryError(f"expected words to search pages with, got a {query.kind}")
        vectors = self._reader.query(query.text)
        names = self.shortlist(np.asarray(vectors.mean(axis=0), np.float32))
        stored = self.index.cells(names)
        scored = [(cell_scores(vectors, p.codes, p.scales), name, p) for name, p in stored.items()]
        scored.sort(key=lambda one: (-float(one[0].max()), one[1]))
        return [self._hit(name, page, scores) for scores, name, page in scored[: query.k]]

    def shortlist(self, vector: Vectors) -> list[str]:
        """Names of the pages nearest to a vector [D]."""
        order = np.argsort(-(self.index.vectors @ vector), kind="stable")[:SHORTLIST]
        return [self.index.names[n] for n in order]

    def _hit(self, name: str, page: StoredPage, scores: Vectors) -> PageHit:
        regions = find_regions(scores, page.boxes, page.shape)[:MAX_REGIONS]
        told = regions if page.texts else ()
        texts = tuple(" ".join(page.texts[n] for n in region.cells) for region in told)
        reference = str(self.index.root / name)
        return PageHit(name, reference, float(scores.max()), regions, texts)

    def _evidence(self, hit: PageHit) -> Evidence:
        path, marked, number = hit.name.partition("#page=")
        title = f"{path}, page {number}" if marked else path
        return Evidence(
            hit.name,
            title,
            " ".join(hit.texts),
            hit.score,
            hit.reference,
            nearest=hit.texts,
            tier=self._tier,
        )
