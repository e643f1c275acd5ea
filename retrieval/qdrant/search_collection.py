"""`Searcher`s over a Qdrant collection: one alone, and one that asks it beside the local indexes.

Vectors go to the server, never words or pictures; filters go with them. Scores are the server's:
cosines where its collection is one of cosines.
"""

import dataclasses
import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, get_args

from qdrant_client.http import models

from retrieval.encoders.joint import JointEncoder
from retrieval.encoders.text import TextEncoder, Vectors
from retrieval.qdrant.collection import Collection
from retrieval.qdrant.place import QdrantConfig
from retrieval.search import MAX_QUERY_CHARS, Searcher
from retrieval.sources.records import MAX_TITLE_CHARS
from retrieval.sources.sentences import clean, quote
from retrieval.store.rows import date_ns
from stream.clock import NS_PER_S
from stream.errors import QueryError
from stream.events import Evidence, Query, QueryFilter, Tier
from stream.geometry import Box, decode_mask, mask_box

PER_ENTRY = 4  # points asked for an entry that is wanted: an entry has several passages
MAX_TEXT_CHARS = 4000  # of a point
ENTRY, TIER, ENCODER = "entry", "tier", "encoder"  # fields of points that `push` made
SOURCE = "qdrant"
TIERS: tuple[Tier, ...] = get_args(Tier)
logger = logging.getLogger(__name__)


class QdrantSearcher:
    """Text queries by the index's text encoder, pictures and regions by a joint one."""

    def __init__(
        self,
        collection: Collection,
        config: QdrantConfig,
        encoder: TextEncoder,
        joint: JointEncoder | None = None,
    ) -> None:
        self._collection, self._config = collection, config
        self._encoder, self._joint = encoder, joint
        self._sizes: Mapping[str, int] = {}  # of vectors, once the server has told

    def search(self, query: Query) -> list[Evidence]:
        """At most `query.k` entries, best first; none for what the collection does not hold.

        Raises QueryError for a server that does not answer, and for vectors of another encoder.
        """
        encoder = self._encoder if query.kind == "text" else self._joint
        using = self._config.words if query.kind == "text" else self._config.pictures
        if encoder is None or using is None or query.source == "memory":
            return []
        self._check(using, encoder)
        vector, box = self._encoded(query)
        wanted = _filter(query.filter, self._config)
        found = self._collection.nearest(vector, using, PER_ENTRY * query.k, wanted)
        return list(self._read(found, query, box))

    def _check(self, using: str, encoder: TextEncoder) -> None:
        sizes = self._sizes or self._collection.sizes()
        if sizes is None:
            raise QueryError(f"expected {self._collection}, which is not there; fill it first")
        self._sizes = sizes
        if sizes.get(using) != encoder.dim:
            raise QueryError(
                f"expected vectors {using!r} of {encoder.dim} numbers by {encoder.id} in "
                f"{self._collection}, got {dict(sizes)}: it was filled with another encoder"
            )

    def _encoded(self, query: Query) -> tuple[Vectors, Box | None]:
        if query.kind == "text":
            return self._encoder.encode_text([query.text[:MAX_QUERY_CHARS]])[0], None
        if self._joint is None or query.image is None:
            raise QueryError(f"expected a picture and its encoder for a {query.kind} query")
        if query.kind == "image" or query.mask is None:
            return self._joint.encode_images([query.image])[0], None
        mask = decode_mask(query.mask)
        return self._joint.encode_regions([query.image], [mask])[0], mask_box(mask)

    def _read(
        self, points: Sequence[models.ScoredPoint], query: Query, box: Box | None
    ) -> Iterator[Evidence]:
        """Points of one entry become one piece of evidence, told in the order of their scores."""
        entries: dict[str, list[Evidence]] = {}
        for point in points:
            one = self._evidence(point, query, box)
            if one is not None:
                entries.setdefault(one.id, []).append(one)
        for parts in list(entries.values())[: query.k]:
            nearest = tuple(dict.fromkeys(one.text for one in parts))
            yield dataclasses.replace(parts[0], text=" ".join(nearest), nearest=nearest)

    def _evidence(
        self, point: models.ScoredPoint, query: Query, box: Box | None
    ) -> Evidence | None:
        config, payload = self._config, point.payload or {}
        made_by = payload.get(ENCODER)
        if query.kind == "text" and made_by not in (None, self._encoder.id):
            raise QueryError(
                f"expected vectors by {self._encoder.id} in {self._collection}, got {made_by}"
            )
        title = _words(payload.get(config.title))[:MAX_TITLE_CHARS]
        text = quote(_words(payload.get(config.text)))
        source = _words(payload.get(config.source)) or SOURCE
        told = payload.get(TIER)
        tier = next((one for one in TIERS if one == told), config.tier)
        tags = payload.get(config.tags)
        kept = [str(tag) for tag in tags] if isinstance(tags, list) else []
        date = payload.get(config.date)
        at_ns = date_ns(date) if isinstance(date, str) else None
        if not (title and text) or not query.filter.admits(source, tier, kept, at_ns):
            return None
        link = _words(payload.get(config.link))
        shown = link if link.startswith(("https://", "http://")) else source
        name = str(payload.get(ENTRY) or f"{SOURCE}:{point.id}")
        return Evidence(name, title, text, float(point.score), shown, box, (text,), tier)


class QdrantBeside:
    """The local indexes and a collection, the best of both; the wearer's own notes stay first."""

    def __init__(self, local: Searcher, remote: Searcher) -> None:
        self._local, self._remote = local, remote

    def search(self, query: Query) -> list[Evidence]:
        """At most `query.k`; where the server is away the local evidence stands, and it is told."""
        local = self._local.search(query)
        try:
            found = self._remote.search(query)
        except QueryError as error:
            logger.warning("%s", error)
            return local
        known = {one.id for one in local}
        both = [*local, *(one for one in found if one.id not in known)]
        return sorted(both, key=lambda one: (one.tier != "own", -one.score))[: query.k]


def _filter(wanted: QueryFilter, config: QdrantConfig) -> models.Filter | None:
    """What a filter asks of a point's payload; the searcher looks at the answer again."""
    must: list[models.Condition] = []
    if wanted.after_ns is not None or wanted.before_ns is not None:
        span = models.DatetimeRange(gte=_moment(wanted.after_ns), lt=_moment(wanted.before_ns))
        must.append(models.FieldCondition(key=config.date, range=span))
    for tag in wanted.tags:
        must.append(models.FieldCondition(key=config.tags, match=models.MatchValue(value=tag)))
    if wanted.sources:
        among = models.MatchAny(any=list(wanted.sources))
        must.append(models.FieldCondition(key=config.source, match=among))
    if wanted.tiers:
        bears: models.Condition = models.FieldCondition(
            key=TIER, match=models.MatchAny(any=[str(tier) for tier in wanted.tiers])
        )
        none = models.IsEmptyCondition(is_empty=models.PayloadField(key=TIER))
        either = [bears, none] if config.tier in wanted.tiers else [bears]
        must.append(models.Filter(should=either))
    return models.Filter(must=must) if must else None


def _moment(at_ns: int | None) -> datetime | None:
    return None if at_ns is None else datetime.fromtimestamp(at_ns / NS_PER_S, UTC)


def _words(value: Any) -> str:
    return clean(value[:MAX_TEXT_CHARS]) if isinstance(value, str) else ""
