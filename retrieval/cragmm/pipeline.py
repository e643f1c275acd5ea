"""CRAG-MM's search pipeline (`cragmm_search.search.UnifiedSearchPipeline`) as a `Searcher`.

The package and its chromadb are the user's: what is called is the pipeline that is handed over.
Its results are (CRAG-MM, https://arxiv.org/abs/2510.26160, search API of the KDD Cup 2025)

    of a picture  {index, score, url, entities: [{entity_name, entity_attributes}]}
    of words      {index, score, page_name, page_snippet, page_url}
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from PIL import Image as Pillow

from retrieval.cragmm.attributes import facts
from retrieval.sources.sentences import clean, quote, sentences
from stream.errors import QueryError
from stream.events import Evidence, Query
from stream.geometry import Box, decode_mask, mask_box

MAX_FACTS, MAX_SENTENCES = 6, 4
MARGIN = 0.1  # of a region's box, around it
PICTURES, PAGES = "crag-mm-images", "crag-mm-web"
# Called with words or a PIL picture, and k.
Pipeline = Callable[..., Any]
logger = logging.getLogger(__name__)


class CragMmSearcher:
    """Text goes to the web index; pictures, and regions cut out of them, to the image index.

    Scores are the pipeline's cosine. Web pages are unvetted, entities (of Wikipedia) are vetted.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def search(self, query: Query) -> list[Evidence]:
        """At most `query.k`, best first; a result that is none is left out.

        Raises QueryError where the pipeline fails, as it does for words without a web index.
        """
        asked, box = _payload(query)
        try:
            results = self._pipeline(asked, k=query.k)
        except Exception as error:  # whatever models and databases of others raise
            raise QueryError(f"expected results of CRAG-MM's pipeline, got: {error}") from error
        return evidence_of(results, box)[: query.k]


def evidence_of(results: Any, box: Box | None = None) -> list[Evidence]:
    """The pipeline's results as evidence, an entity or page once; raises QueryError for no list."""
    if not isinstance(results, Sequence) or isinstance(results, str):
        raise QueryError(f"expected a list of results, got {type(results).__name__}")
    found: dict[str, Evidence] = {}
    for result in results:
        if not isinstance(result, Mapping) or not isinstance(result.get("score"), (int, float)):
            logger.warning("expected a result of CRAG-MM's pipeline, got %.80r", result)
            continue
        read = _entities(result, box) if "entities" in result else _page(result)
        for one in read:
            if one.id not in found or found[one.id].score < one.score:
                found[one.id] = one
    return sorted(found.values(), key=lambda one: -one.score)


def _entities(result: Mapping[str, Any], box: Box | None) -> Iterator[Evidence]:
    listed = result["entities"]
    for entity in listed if isinstance(listed, Sequence) else ():
        name = clean(str(entity.get("entity_name") or "")) if isinstance(entity, Mapping) else ""
        if not name:
            continue
        told = tuple(facts(entity.get("entity_attributes")))[:MAX_FACTS]
        text = "; ".join(told) or name
        source = str(result.get("url") or PICTURES)
        key = f"{PICTURES}:{name}"
        yield Evidence(key, name, text, float(result["score"]), source, box, told)


def _page(result: Mapping[str, Any]) -> Iterator[Evidence]:
    name = clean(str(result.get("page_name") or ""))
    told = tuple(map(quote, sentences(clean(str(result.get("page_snippet") or "")))))
    url = str(result.get("page_url") or "")
    if name and told:
        kept, score = told[:MAX_SENTENCES], float(result["score"])
        key = f"{PAGES}:{url or name}"
        yield Evidence(key, name, " ".join(kept), score, url or PAGES, None, kept, "unvetted")


def _payload(query: Query) -> tuple[Any, Box | None]:
    """What the pipeline is called with, and the box of the region that it shows."""
    if query.kind == "text" or query.image is None:
        return query.text, None
    picture = Pillow.fromarray(query.image)
    if query.kind == "image" or query.mask is None:
        return picture, None
    box = mask_box(decode_mask(query.mask))
    if box is None:
        raise QueryError("expected a region with pixels, got an empty mask")
    x0, y0, x1, y1 = box
    dx, dy = (x1 - x0) * MARGIN, (y1 - y0) * MARGIN
    height, width = query.image.shape[:2]
    left, top = max(round(x0 - dx), 0), max(round(y0 - dy), 0)
    right, bottom = min(round(x1 + dx), width), min(round(y1 + dy), height)
    return picture.crop((left, top, right, bottom)), box
