"""One collection of a Qdrant server through its own client: every request bounded and noted."""

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from qdrant_client import QdrantClient
from qdrant_client.http import models
from qdrant_client.http.exceptions import ApiException

from retrieval.encoders.text import Vectors
from retrieval.qdrant.place import Place, QdrantConfig
from stream.errors import QueryError
from stream.outgoing import OutgoingLog

MAX_TOLD = 200  # characters of a server's own words
T = TypeVar("T")


def connect(config: QdrantConfig) -> QdrantClient:
    """A client; nothing is sent yet. Raises ConfigError for a key that would go in the clear."""
    place, key = config.place, os.environ.get(config.api_key_env)
    place.check_key(key)
    return QdrantClient(
        url=place.url,
        port=None,
        api_key=key,
        timeout=math.ceil(config.timeout_s),
        check_compatibility=False,  # it would ask the server at once
        trust_env=False,  # no proxy of the machine
    )


class Collection:
    """What search and push ask of a collection. All methods raise QueryError for no answer."""

    def __init__(self, client: QdrantClient, place: Place, log: OutgoingLog) -> None:
        """`log` is told of every request."""
        self._client, self._place, self._log = client, place, log

    def __str__(self) -> str:
        return f"the collection {self._place.collection} of {self._place.server}"

    def sizes(self) -> Mapping[str, int] | None:
        """Numbers in a vector by its name, "" the unnamed one; None: there is no collection."""
        name = self._place.collection
        if not self._asked("", 0, lambda: self._client.collection_exists(name)):
            return None
        found = self._asked("", 0, lambda: self._client.get_collection(name))
        vectors = found.config.params.vectors
        if isinstance(vectors, models.VectorParams):
            return {"": vectors.size}
        return {key: one.size for key, one in (vectors or {}).items()}

    def create(self, dim: int, keyword: str, dated: str) -> None:
        """With unnamed vectors of `dim` numbers, and two fields of its points made fast."""
        name, made = self._place.collection, models.VectorParams(size=dim, distance=COSINE)
        self._asked(name, 0, lambda: self._client.create_collection(name, vectors_config=made))
        for field, kind in ((keyword, KEYWORD), (dated, DATETIME)):
            self._index(field, kind)

    def _index(self, field: str, kind: models.PayloadSchemaType) -> None:
        name = self._place.collection
        self._asked(field, 0, lambda: self._client.create_payload_index(name, field, kind))

    def nearest(
        self, vector: Vectors, using: str, limit: int, wanted: models.Filter | None
    ) -> list[models.ScoredPoint]:
        """Points with their payloads, best first; `vector` [D]."""
        words = (
            "" if wanted is None else json.dumps(wanted.model_dump(exclude_none=True), default=str)
        )
        found = self._asked(
            words,
            1,
            lambda: self._client.query_points(
                self._place.collection,
                query=vector.tolist(),
                using=using or None,
                query_filter=wanted,
                limit=limit,
                with_payload=True,
            ),
        )
        return list(found.points)

    def payloads(self, ids: Sequence[str], fields: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Some fields of those points that are there."""
        name, shown = self._place.collection, list(fields)
        found = self._asked(
            "", 0, lambda: self._client.retrieve(name, list(ids), with_payload=shown)
        )
        return {str(one.id): dict(one.payload or {}) for one in found}

    def walk(
        self, wanted: models.Filter, fields: Sequence[str], after: Any, limit: int
    ) -> tuple[list[dict[str, Any]], Any]:
        """Some fields of `limit` points from `after` on, and where to go on; None at the end."""
        rows, following = self._asked(
            "",
            0,
            lambda: self._client.scroll(
                self._place.collection,
                scroll_filter=wanted,
                limit=limit,
                offset=after,
                with_payload=list(fields),
            ),
        )
        return [dict(row.payload or {}) for row in rows], following

    def put(self, points: Sequence[models.PointStruct], words: str) -> None:
        """Store points, and return once the server has them; `words` of them, for the log."""
        name = self._place.collection
        self._asked(words, len(points), lambda: self._client.upsert(name, list(points), wait=True))

    def delete(self, wanted: models.Filter) -> None:
        """Take points out."""
        name, chosen = self._place.collection, models.FilterSelector(filter=wanted)
        self._asked("", 0, lambda: self._client.delete(name, chosen, wait=True))

    def _asked(self, words: str, vectors: int, ask: Callable[[], T]) -> T:
        try:
            answer = ask()
        except (ApiException, OSError, ValueError) as error:
            told = " ".join(str(error).split())[:MAX_TOLD] or type(error).__name__
            self._log.add("qdrant", self._place.server, words, told, vectors=vectors)
            raise QueryError(f"expected an answer of {self}, got: {told}") from error
        self._log.add("qdrant", self._place.server, words, "sent", vectors=vectors)
        return answer


COSINE = models.Distance.COSINE
KEYWORD, DATETIME = models.PayloadSchemaType.KEYWORD, models.PayloadSchemaType.DATETIME
